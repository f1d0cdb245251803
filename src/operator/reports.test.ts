import { describe, expect, test } from "bun:test";
import { MemoryStore, type PodRecord } from "../mesh/index.ts";
import { FakeClock } from "../testkit/fake-clock.ts";
import { podRecord } from "../testkit/mesh-records.ts";
import { reportBatch } from "../testkit/operator-stage.ts";
import { ReportTable } from "./reports.ts";

const POD = podRecord("web", "10.244.0.2");

function stage() {
  const clock = new FakeClock();
  const pods = new MemoryStore<PodRecord>();
  pods.set("shop/web", POD);
  return { clock, pods, table: new ReportTable(clock, pods) };
}

describe("the table of reports", () => {
  test("holds each proxy's last word, by pod, with the skew of its clock", () => {
    const { clock, table } = stage();
    table.take(POD, reportBatch({ clockMillis: clock.now() }), {});
    clock.advance(10_000);
    const batch = reportBatch({ sequence: 2, clockMillis: clock.now() - 1_500, bundleSequence: 7 });
    table.take(POD, batch, {});
    expect([...table.reports.values()]).toEqual([
      {
        replica: "local",
        podUid: "uid-web",
        namespace: "shop",
        pod: "web",
        connected: true,
        receivedAt: clock.now(),
        clockSkew: -1_500,
        batch,
      },
    ]);
  });

  test("keeps what a proxy said when its stream ends", () => {
    const { table } = stage();
    const stream = {};
    table.take(POD, reportBatch({ bundleSequence: 3 }), stream);
    table.ended(POD, stream);
    expect(table.reports.get("uid-web")).toMatchObject({ connected: false, batch: { bundleSequence: 3 } });
  });

  test("hears nothing in the end of an older stream", () => {
    const { table } = stage();
    const [older, newer] = [{}, {}];
    table.take(POD, reportBatch(), older);
    table.take(POD, reportBatch(), newer);
    table.ended(POD, older);
    expect(table.reports.get("uid-web")?.connected).toBe(true);
    table.ended(POD, newer);
    expect(table.reports.get("uid-web")?.connected).toBe(false);
  });

  test("hears nothing in the end of a stream that never reported", () => {
    const { table } = stage();
    table.ended(POD, {});
    expect([...table.reports.keys()]).toEqual([]);
  });

  test("hears nothing in the end of a stream whose proxy has gone over to another replica", () => {
    const { clock, table } = stage();
    const stream = {};
    table.take(POD, reportBatch(), stream);
    const { namespace, name: pod, uid: podUid } = POD;
    clock.advance(1_000);
    const there = { replica: "op-2", podUid, namespace, pod, connected: true, receivedAt: clock.now(), clockSkew: 0 };
    table.takeRemote({ ...there, batch: reportBatch() });
    table.ended(POD, stream);
    expect(table.reports.get(podUid)).toMatchObject({ replica: "op-2", connected: true });
  });

  test("forgets a report with its pod, and with a pod that took its name", () => {
    const { pods, table } = stage();
    const stream = {};
    table.take(POD, reportBatch(), stream);
    pods.set("shop/web", { ...POD, ready: false });
    expect([...table.reports.keys()]).toEqual(["uid-web"]);
    pods.set("shop/web", { ...POD, uid: "uid-new" });
    expect([...table.reports.keys()]).toEqual([]);
    table.ended(POD, stream);
    expect([...table.reports.keys()]).toEqual([]);
  });

  test("follows nobody when disposed", () => {
    const { pods, table } = stage();
    table.take(POD, reportBatch(), {});
    table[Symbol.dispose]();
    pods.delete("shop/web");
    expect([...table.reports.keys()]).toEqual(["uid-web"]);
  });
});
