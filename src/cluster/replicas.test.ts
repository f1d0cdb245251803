import { expect, test } from "bun:test";
import { type Ip, MemoryStore, type PodRecord } from "../mesh/index.ts";
import type { Operator } from "../operator/index.ts";
import { FakeClock } from "../testkit/fake-clock.ts";
import { MemoryLogger } from "../testkit/memory-logger.ts";
import { podRecord } from "../testkit/mesh-records.ts";
import { Replicas } from "./replicas.ts";

const OF_THE_OPERATOR = { namespace: "tulle-system", serviceAccount: "tulle-operator" };

test("every other replica is followed, at the address that it has", () => {
  const pods = new MemoryStore<PodRecord>();
  const own = podRecord("op-1", "10.244.0.5", OF_THE_OPERATOR);
  const other = podRecord("op-2", "10.244.0.6", OF_THE_OPERATOR);
  pods.set("tulle-system/op-1", own);
  pods.set("shop/web", podRecord("web", "10.244.0.7"));
  const lost: string[] = [];
  const reportTable = { takeRemote: () => undefined, lostReplica: (replica: string) => void lost.push(replica) };
  using replicas = new Replicas({
    sources: { pods },
    operator: { reportTable } as unknown as Operator,
    namespace: "tulle-system",
    podName: "op-1",
    roots: () => "",
    clock: new FakeClock(),
    logger: new MemoryLogger(),
  });
  expect(replicas.size).toBe(0);
  pods.set("tulle-system/op-2", other);
  pods.set("tulle-system/op-2", { ...other, ready: false });
  expect([replicas.size, lost.length]).toEqual([1, 0]);
  pods.set("tulle-system/op-2", { ...other, ips: ["10.244.0.9" as Ip] });
  expect([replicas.size, lost.length]).toEqual([1, 1]);
  pods.set("tulle-system/op-2", { ...other, finished: true });
  expect([replicas.size, lost.length]).toEqual([0, 2]);
});
