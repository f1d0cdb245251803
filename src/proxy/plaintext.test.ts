import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { createServer, type Server, type Socket } from "node:net";
import { type Ip, type Mode, PORTS, type Reason } from "../mesh/index.ts";
import { isBalanced } from "../testkit/accounts.ts";
import { FakeClock } from "../testkit/fake-clock.ts";
import { FakeOriginalDestination, loopbackAddress, loopbackPod } from "../testkit/fake-original-destination.ts";
import { dialTo, drained, eventually } from "../testkit/loopback-mesh.ts";
import { MemoryLogger } from "../testkit/memory-logger.ts";
import { AccessLog } from "./access-log.ts";
import { EdgeTable } from "./edges.ts";
import { Metrics } from "./metrics.ts";
import { PlaintextListener } from "./plaintext.ts";

const APP = 8080;

let clock: FakeClock;
let logger: MemoryLogger;
let metrics: Metrics;
let redirects: FakeOriginalDestination;
let ip: Ip;
let mode: Mode;
let listener: PlaintextListener;
let app: Server;
let reached: number;

beforeEach(async () => {
  clock = new FakeClock();
  logger = new MemoryLogger();
  metrics = new Metrics();
  redirects = new FakeOriginalDestination();
  ip = loopbackAddress();
  mode = "strict";
  reached = 0;
  listener = new PlaintextListener({
    network: loopbackPod(ip, redirects),
    mode: () => mode,
    clock,
    metrics,
    accessLog: new AccessLog(metrics, logger, clock, new EdgeTable(clock)),
  });
  app = createServer({ allowHalfOpen: true }, (socket) => {
    reached++;
    socket.on("error", () => undefined);
    socket.pipe(socket);
  });
  await new Promise<void>((resolve) => app.listen(APP, ip, resolve));
});
afterEach(async () => {
  await eventually(() => isBalanced(metrics), "the accounts are balanced");
  listener[Symbol.dispose]();
  await new Promise((resolve) => app.close(resolve));
  expect(clock.pending).toBe(0);
});

function dial(to: { ip?: Ip; port: number } | undefined): Socket {
  redirects.set(PORTS.inboundPlaintext, to === undefined ? undefined : { ip: to.ip ?? ip, port: to.port });
  return dialTo(ip, PORTS.inboundPlaintext);
}

async function refused(socket: Socket, reason: Reason, detail?: string): Promise<void> {
  socket.end("hello");
  expect(await drained(socket)).toEqual({ bytes: Buffer.alloc(0), end: "ECONNRESET" });
  const { fields } = await logger.nth("connection", 1);
  expect(fields).toMatchObject({ direction: "inbound", reason, detail: detail as string });
  expect(metrics.of("inbound", reason)).toBe(1);
  expect(reached).toBe(0);
}

test("a strict pod resets plaintext, and the application hears nothing of it", () =>
  refused(dial({ port: APP }), "refused-strict"));

test("a permissive pod lets it through and counts it", async () => {
  mode = "permissive";
  const socket = dial({ port: APP });
  socket.end("hello");
  expect(await drained(socket)).toEqual({ bytes: Buffer.from("hello"), end: "fin" });
  expect(metrics.of("inbound", "plaintext-permissive")).toBe(1);
  await eventually(() => isBalanced(metrics), "the accounts are balanced");
  expect(metrics.inbound).toMatchObject({ sent: 5, received: 5 });
});

test("the mode is asked for at each connection", async () => {
  mode = "permissive";
  const socket = dial({ port: APP });
  socket.end();
  expect((await drained(socket)).end).toBe("fin");
  mode = "strict";
  const second = dial({ port: APP });
  expect((await drained(second)).end).toBe("ECONNRESET");
});

describe("a permissive pod refuses all the same", () => {
  beforeEach(() => {
    mode = "permissive";
  });

  test("what was not redirected", () =>
    refused(dial(undefined), "refused-own-port", "the connection was not redirected"));

  test("what was sent to the capture port itself", () =>
    refused(dial({ port: PORTS.inboundPlaintext }), "refused-own-port", "the connection was not redirected"));

  test.each([PORTS.outbound, PORTS.hbone, PORTS.metrics, PORTS.readiness])("the proxy's own port %d", (port) =>
    refused(dial({ port }), "refused-own-port"),
  );

  test("an address that is not the pod's: a neighbour must not find a relay here", () =>
    refused(dial({ ip: loopbackAddress(), port: APP }), "failed-connect", "not an address of this pod"));

  test("a port where nobody listens", () => refused(dial({ port: 9 }), "failed-connect", "ECONNREFUSED"));
});

test("a client that gives up before the application answered is one failed connection", async () => {
  mode = "permissive";
  const socket = dial({ port: APP });
  socket.on("error", () => undefined);
  socket.resetAndDestroy();
  await eventually(() => metrics.inbound.closed === metrics.inbound.opened, "it is over");
});

test("disposed, it resets what is open", async () => {
  mode = "permissive";
  const socket = dial({ port: APP });
  const end = drained(socket);
  await logger.nth("connection", 1);
  listener[Symbol.dispose]();
  expect((await end).end).toBe("ECONNRESET");
});
