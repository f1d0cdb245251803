/** Messages of proxy and operator: refused by the room's own error, and what is read can be written and read again. */

import { endpointOf, service, workload } from "../../../src/testkit/addresses.ts";
import {
  addressFromWire,
  addressToWire,
  METHODS,
  type Method,
  settingsFromWire,
  settingsToWire,
  trustBundleFromWire,
  trustBundleToWire,
  WireError,
} from "../../../src/wire/index.ts";
import { mutateProtobuf } from "../protobuf-tree.ts";
import { same, type Target, unlessRefused } from "../target.ts";

interface Way {
  readonly read: (bytes: Uint8Array) => unknown;
  readonly write: (value: never) => Uint8Array;
}

const methods: readonly Method<never, never>[] = Object.values(METHODS) as unknown as readonly Method<never, never>[];
/** The first byte of an input chooses. */
const WAYS: readonly Way[] = [
  { read: addressFromWire, write: addressToWire },
  { read: settingsFromWire, write: settingsToWire },
  { read: trustBundleFromWire, write: trustBundleToWire },
  ...methods.flatMap((method) => [
    { read: method.decodeRequest, write: method.encodeRequest },
    { read: method.decodeResponse, write: method.encodeResponse },
  ]),
];

const web = service("web", ["10.96.0.7", "fd00::7"]);
const address = addressToWire({
  kind: "workload",
  workload: workload("web-1", ["10.0.0.9", "fd00::9"], { services: endpointOf(web), authorizationPolicies: ["a/b"] }),
});
const { createCertificate, deltaAggregatedResources } = METHODS;

export const target: Target = {
  examples: [
    Uint8Array.of(0, ...address),
    Uint8Array.of(0, ...addressToWire({ kind: "service", service: web })),
    Uint8Array.of(
      1,
      ...settingsToWire({ mode: "strict", podRanges: ["10.0.0.0/8"], serviceRanges: ["fd00::/64"], reissueEpoch: 7 }),
    ),
    Uint8Array.of(2, ...trustBundleToWire({ sequence: 3, roots: [new Uint8Array(20)] })),
    ...WAYS.slice(3).map((_, index) => Uint8Array.of(3 + index, 0x0a, 1, 0x61, 0x12, 1, 0x62)),
    Uint8Array.of(
      3,
      ...createCertificate.encodeRequest({ csr: "pem", validityDuration: 3600, metadata: { ClusterID: "Kubernetes" } }),
    ),
    Uint8Array.of(
      6,
      ...deltaAggregatedResources.encodeResponse({
        systemVersionInfo: "1",
        resources: [{ name: "web", version: "1", aliases: ["x"], resource: { typeUrl: "t", value: address } }],
        typeUrl: "t",
        nonce: "n",
        removedResources: ["y"],
      }),
    ),
  ],
  longest: 1000,
  mutate: (bytes, dice) =>
    Uint8Array.of(
      dice.once(20) ? dice.below(WAYS.length) : (bytes[0] ?? 0),
      ...mutateProtobuf(bytes.subarray(1), dice),
    ),
  run(bytes) {
    const way = WAYS[(bytes[0] ?? 0) % WAYS.length] as Way;
    const value = unlessRefused(
      () => way.read(bytes.subarray(1)),
      (error) => error instanceof WireError,
    );
    if (value === undefined) return;
    same(way.read(way.write(value as never)), value, "a message written and read again");
  },
};
