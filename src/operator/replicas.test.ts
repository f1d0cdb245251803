/** What one replica hears, another answers for: over the real port, with the operator's own token. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import * as grpc from "@grpc/grpc-js";
import { systemClock } from "../cli/system.ts";
import { OPERATOR_HOST } from "../mesh/index.ts";
import { MemoryLogger } from "../testkit/memory-logger.ts";
import { podRecord } from "../testkit/mesh-records.ts";
import { bearer, OperatorStage, reportBatch } from "../testkit/operator-stage.ts";
import { until } from "../testkit/until.ts";
import { METHODS, type ReportBatch } from "../wire/index.ts";
import { definition } from "./grpc.ts";
import { ReplicaClient } from "./replica-client.ts";

const WEB = podRecord("web", "10.244.0.5");
const OTHER = podRecord("op-2", "10.244.0.6", { namespace: "tulle-system", serviceAccount: "tulle-operator" });

let one: OperatorStage;
let two: OperatorStage;
let follower: ReplicaClient | undefined;

beforeEach(() => {
  one = new OperatorStage();
  two = new OperatorStage();
  two.add(WEB);
});
afterEach(() => {
  follower?.[Symbol.dispose]();
  follower = undefined;
  one[Symbol.dispose]();
  two[Symbol.dispose]();
});

function follow(token: string): void {
  follower = new ReplicaClient({
    replica: "op-1",
    address: `127.0.0.1:${one.operator.port}`,
    host: OPERATOR_HOST,
    roots: () => one.authority.bundle().pem(),
    token: async () => token,
    table: two.operator.reportTable,
    clock: systemClock,
    logger: new MemoryLogger(),
  });
}
function report(batch: ReportBatch): grpc.ClientDuplexStream<ReportBatch, unknown> {
  const { path, requestSerialize, responseDeserialize } = definition(METHODS.pushReports);
  const call = one.client().makeBidiStreamRequest(path, requestSerialize, responseDeserialize, bearer(one.add(WEB)));
  call.on("error", () => undefined);
  call.on("data", () => undefined);
  call.write(batch);
  return call;
}
const known = () => two.operator.reports.get(WEB.uid);

describe("a replica that follows another", () => {
  test("hears what was reported before, each change, and the end of the stream", async () => {
    const call = report(reportBatch({ bundleSequence: 3 }));
    await until(() => one.operator.reports.get(WEB.uid) !== undefined, "the first report");
    follow(one.add(OTHER));
    await until(() => known()?.connected === true, "what was there before");
    expect(known()).toMatchObject({ replica: "op-1", namespace: WEB.namespace, pod: WEB.name });
    expect(known()?.batch.bundleSequence).toBe(3);
    call.write(reportBatch({ sequence: 2, bundleSequence: 4 }));
    await until(() => known()?.batch.bundleSequence === 4, "the change");
    call.end();
    await until(() => known()?.connected === false, "the end");
  });

  test("does not take over what it hears from others: two replicas never tell each other the same in a circle", async () => {
    const call = report(reportBatch({ bundleSequence: 3 }));
    follow(one.add(OTHER));
    await until(() => known() !== undefined, "the report");
    const back: unknown[] = [];
    const { path, requestSerialize, responseDeserialize } = definition(METHODS.followReplica);
    const metadata = bearer(two.add(OTHER));
    const asked = two.client().makeBidiStreamRequest(path, requestSerialize, responseDeserialize, metadata);
    asked.on("data", (message) => back.push(message));
    asked.on("error", () => undefined);
    call.write(reportBatch({ sequence: 2, bundleSequence: 4 }));
    await until(() => known()?.batch.bundleSequence === 4, "the change");
    expect(back).toEqual([]);
    asked.cancel();
  });

  test("hears nothing any more when it stops, and the other is told", async () => {
    const call = report(reportBatch({ bundleSequence: 3 }));
    follow(one.add(OTHER));
    await until(() => known()?.connected === true, "the report");
    follower?.[Symbol.dispose]();
    expect(known()?.connected).toBe(false);
    call.write(reportBatch({ sequence: 2, bundleSequence: 9 }));
    await until(() => one.operator.reports.get(WEB.uid)?.batch.bundleSequence === 9, "the next report");
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(known()).toMatchObject({ connected: false, batch: { bundleSequence: 3 } });
  });

  test("knows its proxies as gone while the other is away", async () => {
    report(reportBatch({}));
    follow(one.add(OTHER));
    await until(() => known()?.connected === true, "the report");
    one.operator[Symbol.dispose]();
    await until(() => known()?.connected === false, "the loss");
  });
});

test("a pod that is no replica may not follow", async () => {
  const { path, requestSerialize, responseDeserialize } = definition(METHODS.followReplica);
  const call = one.client().makeBidiStreamRequest(path, requestSerialize, responseDeserialize, bearer(one.add(WEB)));
  call.on("data", () => undefined);
  const error = await new Promise<grpc.ServiceError>((resolve) =>
    call.on("error", (e: grpc.ServiceError) => resolve(e)),
  );
  expect(error.code).toBe(grpc.status.PERMISSION_DENIED);
  expect(error.details).toContain("not-a-replica");
});
