/** What one change costs in a large mesh. The bound is far above what is measured, so that only another order fails. */
import { describe, expect, test } from "bun:test";
import { parseSpiffeId } from "../../identity/index.ts";
import { MemoryLogger } from "../../testkit/memory-logger.ts";
import { endpointsRecord, podRecord, serviceRecord } from "../../testkit/mesh-records.ts";
import { discoveryRequest } from "../../testkit/operator-stage.ts";
import { SmallMesh } from "../../testkit/small-mesh.ts";
import { type DeltaDiscoveryResponse, TYPE_URLS } from "../../wire/index.ts";
import { DiscoveryStream } from "./stream.ts";

const PODS = 10_000;
const SERVICES = 1_000;
const STREAMS = 100;

const pods = Array.from({ length: PODS }, (_, i) => podRecord(`p${i}`, `10.1.${i >> 8}.${i & 255}`));

function largeMesh(): SmallMesh {
  const mesh = new SmallMesh();
  for (const pod of pods) mesh.pods.set(`shop/${pod.name}`, pod);
  for (let i = 0; i < SERVICES; i++) {
    mesh.services.set(`shop/s${i}`, serviceRecord(`s${i}`, `10.96.${i >> 8}.${i & 255}`));
    mesh.endpoints.set(`shop/s${i}`, endpointsRecord(`s${i}`, pods.slice(i * 10, i * 10 + 10)));
  }
  mesh.services.set("shop/big", serviceRecord("big", "10.97.0.1"));
  mesh.endpoints.set("shop/big", endpointsRecord("big", pods.slice(0, 1_000)));
  return mesh;
}

/**
 * Milliseconds of the fastest of fifty changes, told to a hundred clients that acknowledge everything: on a busy machine
 * it is the one that nobody interrupted.
 */
async function fastestOf(names: (stream: number) => string[], change: (mesh: SmallMesh, i: number) => void) {
  const mesh = largeMesh();
  using catalog = mesh.catalog();
  const state = {
    catalog,
    settings: () => ({ mode: "strict" as const, podRanges: [], serviceRanges: [], reissueEpoch: 0 }),
    bundle: () => ({ sequence: 1, roots: [] }),
  };
  const id = parseSpiffeId("spiffe://cluster.local/ns/shop/sa/web");
  const sent: [DiscoveryStream, DeltaDiscoveryResponse][] = [];
  const streams = pods.slice(0, STREAMS).map((pod, i) => {
    const stream = new DiscoveryStream({ id, pod }, state, new MemoryLogger(), (response) =>
      sent.push([stream, response]),
    );
    stream.receive(discoveryRequest({ typeUrl: TYPE_URLS.address, resourceNamesSubscribe: names(i) }));
    return stream;
  });
  catalog.follow((changed) => {
    for (const stream of streams) stream.catalogChanged(changed);
  });
  const times: number[] = [];
  for (let i = 0; i < 50; i++) {
    for (const [stream, { typeUrl, nonce: responseNonce }] of sent.splice(0)) {
      stream.receive(discoveryRequest({ typeUrl, responseNonce }));
    }
    const began = performance.now();
    change(mesh, i);
    await Promise.resolve();
    times.push(performance.now() - began);
  }
  expect(sent.length).toBeGreaterThan(0);
  return Math.min(...times);
}

const everything = () => ["*"];
/** Fifty services each. */
const some = (stream: number) => Array.from({ length: 50 }, (_, i) => `/10.96.0.${(stream + i) % 200}`);

describe(`among ${PODS} pods, ${SERVICES} services and ${STREAMS} clients, under 5 ms is spent on`, () => {
  const restart = (mesh: SmallMesh, i: number) =>
    mesh.pods.set(`shop/p${i}`, podRecord(`p${i}`, `10.1.0.${i}`, { uid: `uid-again-${i}` }));
  const becomeUnready = (mesh: SmallMesh, i: number) => {
    const before = mesh.endpoints.get("shop/big");
    const endpoints = (before?.endpoints ?? []).map((one, at) => (at === i ? { ...one, ready: false } : one));
    mesh.endpoints.set("shop/big", endpointsRecord("big", [], { endpoints }));
  };
  test.each([
    ["a pod that is replaced, for clients of everything", everything, restart],
    ["a pod that is replaced, for clients on demand", some, restart],
    ["one endpoint of a thousand, for clients of everything", everything, becomeUnready],
    ["one endpoint of a thousand, for clients on demand", some, becomeUnready],
  ])("%s", async (_what, names, change) => {
    expect(await fastestOf(names, change)).toBeLessThan(5);
  });
});
