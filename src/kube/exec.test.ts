import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect as connectTcp } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FakeClock } from "../testkit/fake-clock.ts";
import { until } from "../testkit/until.ts";
import { connect } from "./connect.ts";
import type { Connection } from "./connection.ts";
import { KubeError } from "./errors.ts";
import { type ExecRequest, execInPod } from "./exec.ts";
import { forwardPort } from "./port-forward.ts";

interface Channel {
  readonly path: string;
  readonly query: URLSearchParams;
}
type Socket = Bun.ServerWebSocket<Channel>;

let folder: string;
let server: Bun.Server<Channel>;
let connection: Connection;
/** What the fake kubelet does when a WebSocket opens, and with what arrives. */
let onOpen: (socket: Socket) => void;
let onMessage: (socket: Socket, message: Buffer) => void;
let open = 0;

beforeEach(async () => {
  onOpen = () => {};
  onMessage = () => {};
  server = Bun.serve<Channel>({
    hostname: "127.0.0.1",
    port: 0,
    fetch(request, self) {
      const url = new URL(request.url);
      if (url.pathname.includes("/forbidden/")) return new Response("no", { status: 403 });
      const data = { path: url.pathname, query: url.searchParams };
      const headers = { "sec-websocket-protocol": "v5.channel.k8s.io" };
      return self.upgrade(request, { data, headers }) ? undefined : new Response("no", { status: 400 });
    },
    websocket: {
      open: (socket) => {
        open += 1;
        onOpen(socket);
      },
      message: (socket, message) => onMessage(socket, Buffer.from(message)),
      close: () => {
        open -= 1;
      },
    },
  });
  folder = mkdtempSync(join(tmpdir(), "tulle-exec-"));
  const file = join(folder, "config");
  writeFileSync(
    file,
    JSON.stringify({
      clusters: [{ name: "c", cluster: { server: `http://127.0.0.1:${server.port}` } }],
      users: [{ name: "u", user: { token: "t" } }],
      contexts: [{ name: "x", context: { cluster: "c", user: "u" } }],
      "current-context": "x",
    }),
  );
  connection = await connect({ kubeconfig: file, env: {} });
});

afterEach(async () => {
  await until(() => open === 0, "every WebSocket is closed");
  await server.stop(true);
  rmSync(folder, { recursive: true });
});

const send = (socket: Socket, channel: number, data: string) =>
  socket.send(Buffer.concat([Buffer.of(channel), Buffer.from(data)]));
const request: ExecRequest = {
  namespace: "demo",
  pod: "web",
  container: "tulle-proxy",
  command: ["tulle", "proxy", "admin"],
};
const run = (more: Partial<ExecRequest> = {}, clock = new FakeClock()) =>
  execInPod(connection, clock, { ...request, ...more });

test("gives what the command printed and its exit code", async () => {
  let asked: Channel | undefined;
  onOpen = (socket) => {
    asked = socket.data;
    send(socket, 1, "out ");
    send(socket, 2, "err");
    send(socket, 1, "put");
    const causes = [{ reason: "ExitCode", message: "3" }];
    send(socket, 3, JSON.stringify({ status: "Failure", reason: "NonZeroExitCode", details: { causes } }));
  };
  const { exitCode, stdout, stderr } = await run();
  expect([exitCode, stdout.toString(), stderr.toString()]).toEqual([3, "out put", "err"]);
  expect(asked?.path).toBe("/api/v1/namespaces/demo/pods/web/exec");
  expect(asked?.query.getAll("command")).toEqual(["tulle", "proxy", "admin"]);
});

test("sends stdin and its end", async () => {
  const got: string[] = [];
  onMessage = (socket, message) => {
    got.push(message.toString("latin1"));
    if (message[0] === 255) send(socket, 3, '{"status":"Success"}');
  };
  expect((await run({ stdin: Buffer.from("hello") })).exitCode).toBe(0);
  expect(got).toEqual(["\0hello", "\xff\0"]);
});

test("says why it could not run: refused, broken off, too late, too much", async () => {
  const fail = async (work: Promise<unknown>) => {
    const error = await work.catch((caught: unknown) => caught);
    if (!(error instanceof KubeError)) throw new Error(`no KubeError: ${Bun.inspect(error)}`);
    return error;
  };
  expect((await fail(run({ namespace: "forbidden" }))).code).toBe("forbidden");
  onOpen = (socket) => socket.close();
  expect((await fail(run())).message).toBe(
    "cannot run tulle in demo/web/tulle-proxy: the connection ended before the command",
  );
  onOpen = (socket) => send(socket, 3, '{"status":"Failure","message":"container not found","reason":"InternalError"}');
  expect((await fail(run())).message).toContain("container not found");
  onOpen = (socket) => send(socket, 1, "x".repeat(100));
  expect((await fail(run({ maxOutput: 50 }))).message).toContain("more than 50 bytes");
  const clock = new FakeClock();
  onOpen = () => clock.advance(30_000);
  expect((await fail(run({}, clock))).code).toBe("timeout");
  expect(clock.pending).toBe(0);
});

test("carries a TCP connection to a pod's port and back, and leaves nothing when closed", async () => {
  onOpen = (socket) => {
    for (const channel of [0, 1]) socket.send(Buffer.of(channel, 0x90, 0x1f));
  };
  onMessage = (socket, message) => {
    if (message[0] === 0 && message.length > 1) send(socket, 0, message.subarray(1).toString().toUpperCase());
  };
  const forwarded = await forwardPort(connection, { namespace: "demo", pod: "web", port: 8080 });
  const socket = connectTcp(forwarded.port, "127.0.0.1");
  let heard = "";
  socket.on("data", (chunk: Buffer) => {
    heard += chunk.toString();
  });
  socket.on("error", () => {});
  socket.write("ping");
  await until(() => heard === "PING", "the answer");
  let closed = false;
  socket.on("close", () => {
    closed = true;
  });
  forwarded[Symbol.dispose]();
  await until(() => closed, "the connection is closed");
});

test("tells why a connection could not be forwarded", async () => {
  const errors: KubeError[] = [];
  using forwarded = await forwardPort(connection, {
    namespace: "forbidden",
    pod: "web",
    port: 1,
    onError: (error) => void errors.push(error),
  });
  let closed = false;
  connectTcp(forwarded.port, "127.0.0.1")
    .on("error", () => {})
    .on("close", () => {
      closed = true;
    });
  await until(() => closed && errors.length === 1, "the refusal");
  expect(errors[0]?.message).toStartWith("cannot forward to port 1 of forbidden/web");
});
