import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { type Address, formatIp, type ProxySettings } from "../mesh/index.ts";
import * as gen from "./gen/istio/workload/workload.ts";
import { Settings } from "./gen/tulle/v1/discovery.ts";
import {
  addressFromWire,
  addressName,
  addressToWire,
  METHODS,
  settingsFromWire,
  settingsToWire,
  trustBundleFromWire,
  trustBundleToWire,
  WireError,
} from "./index.ts";

const ip = fc
  .oneof(fc.uint8Array({ minLength: 4, maxLength: 4 }), fc.uint8Array({ minLength: 16, maxLength: 16 }))
  .map(formatIp);
const name = fc.string({ minLength: 1, maxLength: 20, unit: "binary-ascii" });
const ports = fc.array(
  fc.record({ servicePort: fc.integer({ min: 1, max: 65535 }), targetPort: fc.integer({ min: 0, max: 65535 }) }),
  { maxLength: 4 },
);
const workload: fc.Arbitrary<Address> = fc.record({
  kind: fc.constant("workload" as const),
  workload: fc.record({
    uid: name,
    name,
    namespace: name,
    serviceAccount: name,
    trustDomain: name,
    ips: fc.array(ip, { maxLength: 3 }),
    node: name,
    tunnel: fc.constantFrom("hbone" as const, "none" as const),
    healthy: fc.boolean(),
    services: fc.dictionary(name, ports, { maxKeys: 3, noNullPrototype: true }),
    authorizationPolicies: fc.array(name, { maxLength: 3 }),
  }),
});
const service: fc.Arbitrary<Address> = fc.record({
  kind: fc.constant("service" as const),
  service: fc.record({ name, namespace: name, hostname: name, vips: fc.array(ip, { maxLength: 3 }), ports }),
});

function refusal(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof WireError) return error.code;
    throw error;
  }
  return "accepted";
}

describe("addresses", () => {
  test("are read as they were written", () => {
    fc.assert(
      fc.property(fc.oneof(workload, service), (address) => {
        expect(addressFromWire(addressToWire(address))).toEqual(address);
      }),
    );
  });

  test("are named by uid, and by namespace/hostname", () => {
    const [one] = fc.sample(workload, 1);
    if (one?.kind !== "workload") throw new Error("no sample");
    expect(addressName(one)).toBe(one.workload.uid);
    const of = { name: "web", namespace: "demo", hostname: "web.demo.svc.cluster.local", vips: [], ports: [] };
    expect(addressName({ kind: "service", service: of })).toBe("demo/web.demo.svc.cluster.local");
  });

  test("of a tunnel protocol that we do not speak are refused, not sent in plaintext", () => {
    const [one] = fc.sample(workload, 1);
    if (one === undefined) throw new Error("no sample");
    const message = gen.Address.decode(addressToWire(one));
    if (message.type?.$case !== "workload") throw new Error("no workload");
    const legacy = { ...message.type.value, tunnelProtocol: gen.TunnelProtocol.LEGACY_ISTIO_MTLS };
    const bytes = gen.Address.encode({ type: { $case: "workload", value: legacy } }).finish();
    expect(refusal(() => addressFromWire(bytes))).toBe("bad-address");
  });

  test("without kind, uid, hostname, with a bad port or length are refused", () => {
    const encode = (type: gen.Address["type"]) => gen.Address.encode({ type }).finish();
    const bare: gen.Service = { name: "a", namespace: "b", hostname: "c", addresses: [], ports: [] };
    const bad: gen.Address["type"][] = [
      undefined,
      { $case: "service", value: { ...bare, hostname: "" } },
      { $case: "service", value: { ...bare, ports: [{ servicePort: 70_000, targetPort: 1 }] } },
      { $case: "service", value: { ...bare, ports: [{ servicePort: 0, targetPort: 1 }] } },
      { $case: "service", value: { ...bare, addresses: [{ network: "", address: new Uint8Array(5) }] } },
    ];
    for (const type of bad) expect(refusal(() => addressFromWire(encode(type)))).toBe("bad-address");
    expect(refusal(() => addressFromWire(encode({ $case: "service", value: bare })))).toBe("accepted");
  });
});

describe("settings and trust bundle", () => {
  const settings: ProxySettings = {
    mode: "strict",
    podRanges: ["10.0.0.0/8", "fd00::/8"],
    serviceRanges: [],
    reissueEpoch: 7,
  };

  test("are read as they were written", () => {
    expect(settingsFromWire(settingsToWire(settings))).toEqual(settings);
    expect(settingsFromWire(settingsToWire({ ...settings, mode: "permissive" })).mode).toBe("permissive");
    const bundle = { sequence: 3, roots: [Uint8Array.of(1, 2), Uint8Array.of(3)] };
    const read = trustBundleFromWire(trustBundleToWire(bundle));
    expect([read.sequence, read.roots.map((root) => [...root])]).toEqual([3, [[1, 2], [3]]]);
  });

  test("without a mode or with a range that is none are refused: nothing becomes permissive by accident", () => {
    const encode = (mode: Settings["mode"], podRanges: string[]) =>
      Settings.encode({ mode, podRanges, serviceRanges: [], reissueEpoch: 0 }).finish();
    expect(refusal(() => settingsFromWire(encode(0, [])))).toBe("bad-settings");
    expect(refusal(() => settingsFromWire(encode(9 as Settings["mode"], [])))).toBe("bad-settings");
    expect(refusal(() => settingsFromWire(encode(1, ["10.0.0.0/33"])))).toBe("bad-settings");
    expect(refusal(() => settingsFromWire(new Uint8Array()))).toBe("bad-settings");
    expect(refusal(() => trustBundleFromWire(new Uint8Array()))).toBe("bad-trust-bundle");
  });
});

describe("hostile bytes", () => {
  test("give a WireError or a message, nothing else", () => {
    const readers = [
      addressFromWire,
      settingsFromWire,
      trustBundleFromWire,
      ...Object.values(METHODS).flatMap((method) => [method.decodeRequest, method.decodeResponse]),
    ];
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.constantFrom(...readers), (bytes, read) => {
        refusal(() => read(bytes));
      }),
      { numRuns: 2000 },
    );
  });

  test("of more than 4 MiB are not read", () => {
    expect(refusal(() => METHODS.pushReports.decodeRequest(new Uint8Array(4 * 1024 * 1024 + 1)))).toBe(
      "message-too-large",
    );
  });

  test("that are cut off anywhere never read as a whole workload with other fields", () => {
    const [one] = fc.sample(workload, 1);
    if (one === undefined) throw new Error("no sample");
    const bytes = addressToWire(one);
    for (let end = 1; end < bytes.length; end++)
      expect(refusal(() => addressFromWire(bytes.subarray(0, end)))).not.toBe("accepted");
  });
});
