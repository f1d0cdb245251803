import { afterEach, beforeEach, expect, test } from "bun:test";
import { FakeApiServer } from "../testkit/fake-api-server.ts";
import { FakeClock } from "../testkit/fake-clock.ts";
import { MemoryLogger } from "../testkit/memory-logger.ts";
import { requestsInFlight, settled } from "../testkit/requests-in-flight.ts";
import { SeededRandom } from "../testkit/seeded-random.ts";
import { until } from "../testkit/until.ts";
import { KubeClient } from "./client.ts";
import { cutNote, type EventObject, type Happening } from "./event.ts";
import { EventRecorder, MOST_EVENTS } from "./recorder.ts";

let server: FakeApiServer;
let clock: FakeClock;
let client: KubeClient;
let inFlight: () => number;
let recorder: EventRecorder;

beforeEach(async () => {
  server = await FakeApiServer.start();
  clock = new FakeClock();
  client = new KubeClient({ connection: server.connection(), clock, agent: "tulle/test" });
  inFlight = requestsInFlight(client);
  recorder = new EventRecorder({
    client,
    clock,
    random: new SeededRandom(),
    logger: new MemoryLogger(),
    controller: "tulle.dev/operator",
    instance: "operator-1",
  });
});

afterEach(async () => {
  recorder[Symbol.dispose]();
  await settled(server, inFlight);
  expect(clock.pending).toBe(0);
  client[Symbol.dispose]();
  await server[Symbol.asyncDispose]();
});

const happening = (name = "web", reason = "NotInjected"): Happening => ({
  type: "Warning",
  reason,
  action: "Inject",
  note: `pod ${name} uses port 15001`,
  regarding: { apiVersion: "v1", kind: "Pod", namespace: "demo", name, uid: `uid-${name}` },
});
const events = () =>
  server.storage.list("/apis/events.k8s.io/v1/events", undefined, 0, null).items as unknown as EventObject[];

async function pass(time: number): Promise<void> {
  for (let done = 0; done < time; done += 500) {
    clock.advance(500);
    await settled(server, inFlight);
  }
}

test("writes an Event with who reports it, in the namespace of the object", async () => {
  recorder.record(happening());
  expect(events()).toEqual([]);
  await pass(1500);
  expect(events()).toMatchObject([
    {
      metadata: { namespace: "demo" },
      eventTime: "2026-01-15T12:00:00.000000Z",
      type: "Warning",
      reason: "NotInjected",
      note: "pod web uses port 15001",
      reportingController: "tulle.dev/operator",
      reportingInstance: "operator-1",
    },
  ]);
  expect(events()[0]?.metadata.name).toStartWith("web.");
  expect(events()[0]?.series).toBeUndefined();
});

test("what repeats is counted in one Event, written at most twice a minute", async () => {
  for (let i = 0; i < 50; i += 1) {
    recorder.record(happening());
    await pass(1000);
  }
  await pass(30_000);
  expect(events().length).toBe(1);
  expect(events()[0]?.series).toMatchObject({ count: 50 });
  expect(server.requests.length).toBeLessThanOrEqual(4);
  recorder.record(happening("web", "Other"));
  recorder.record(happening("api"));
  await pass(1500);
  expect(events().length).toBe(3);
});

test("what is new does not wait for the turn of a series", async () => {
  recorder.record(happening());
  await pass(1500);
  recorder.record(happening());
  await pass(1500);
  recorder.record(happening("api"));
  await pass(1500);
  expect(events().map((one) => one.regarding.name)).toEqual(["web", "api"]);
});

test("after a quiet while the same is a new Event, and nothing is kept", async () => {
  recorder.record(happening());
  await pass(1500);
  clock.advance(400_000);
  recorder.record(happening());
  await pass(1500);
  expect(events().length).toBe(2);
  expect(clock.pending).toBe(0);
});

test("an Event that the server has forgotten is told anew", async () => {
  recorder.record(happening());
  await pass(1500);
  server.storage.delete("/apis/events.k8s.io/v1/events", "demo", events()[0]?.metadata.name ?? "");
  recorder.record(happening());
  await pass(31_000);
  expect(events()).toMatchObject([{ series: { count: 2 } }]);
});

test("remembers a bounded number of Events, and writes few at once", async () => {
  for (let i = 0; i < MOST_EVENTS + 100; i += 1) recorder.record(happening(`p${i}`));
  expect(recorder.counts).toMatchObject({ recorded: 600, dropped: 100 });
  await pass(1000);
  expect(server.requests.length).toBe(25);
});

test("tries again while the server is away, not when it refuses", async () => {
  server.intercept = () => ({ status: 503 });
  recorder.record(happening());
  await pass(40_000);
  expect(recorder.counts).toEqual({ recorded: 1, written: 0, dropped: 0 });
  server.intercept = () => ({ status: 403, body: { reason: "Forbidden" } });
  await pass(40_000);
  expect(recorder.counts.dropped).toBe(1);
  const asked = server.requests.length;
  await pass(100_000);
  expect(server.requests.length).toBe(asked);
});

test("flush writes at once what is waiting", async () => {
  recorder.record(happening());
  recorder.record(happening());
  await recorder.flush();
  expect(events()).toMatchObject([{ series: { count: 2 } }]);
});

test("flush gives up when the server does not answer", async () => {
  server.intercept = () => "hang";
  for (const name of ["a", "b", "c"]) recorder.record(happening(name));
  const flushed = recorder.flush();
  await until(() => server.hanging === 1, "the first write");
  clock.advance(5000);
  await flushed;
  expect(server.requests.length).toBe(1);
});

test("a note is cut to 1024 bytes, never through a character", () => {
  expect(cutNote("short")).toBe("short");
  for (let i = 0; i < 4; i += 1) {
    const cut = cutNote(`${"x".repeat(i)}${"\u{1F578}".repeat(400)}`);
    expect(Buffer.byteLength(cut)).toBeLessThanOrEqual(1024);
    expect(cut).not.toContain("\ufffd");
    expect(cut.endsWith("…")).toBe(true);
  }
});
