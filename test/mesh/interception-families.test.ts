/** Pods with an address of one family only, between real proxies: each is captured, carried by mutual TLS and reached by Services. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { FamilyMesh } from "../support/family-mesh.ts";
import { dial, listen } from "../support/pod.ts";

let mesh: FamilyMesh;

beforeAll(async () => {
  mesh = await FamilyMesh.start(
    { both: [4, 6], four: [4], six: [6] },
    { "on-four": ["four"], "on-six": ["six"], "on-all": ["four", "six", "both"] },
  );
  await listen(mesh.namespace("both"), "::/8080");
  await listen(mesh.namespace("four"), "0.0.0.0/8080");
  await listen(mesh.namespace("six"), "::/8080");
}, 60_000);

afterAll(() => mesh?.[Symbol.dispose]());

const count = async (pod: string, key: string) => (await mesh.connections(pod)).get(key) ?? 0;

/** The answer to a connection, and how much the counts of mutual TLS of caller and called grew by it. */
async function call(from: string, to: string, host: string, port: number) {
  const counts = () => Promise.all([count(from, "outbound mtls"), count(to, "inbound mtls")]);
  const before = await counts();
  const answer = await dial(mesh.namespace(from), host, port);
  const after = await counts();
  return { answer, grown: [after[0] - before[0], after[1] - before[1]] };
}

const CARRIED = { answer: { port: 8080, original: null }, grown: [1, 1] };

test.each([
  ["25: a pod with IPv6 alone", "six", 6],
  ["27: a pod whose kernel has IPv6 switched off", "four", 4],
] as const)("%s calls and is called by mutual TLS", async (_what, pod, family) => {
  expect(await call(pod, "both", mesh.ip("both", family), 8080)).toMatchObject(CARRIED);
  expect(await call("both", pod, mesh.ip(pod, family), 8080)).toMatchObject(CARRIED);
});

describe.each([4, 6] as const)("30: a Service of both families, called by IPv%d", (family) => {
  test.each([4, 6] as const)("reaches its backend that has IPv%d alone", async (other) => {
    const [name, pod] = other === 4 ? ["on-four", "four"] : ["on-six", "six"];
    expect(await call("both", pod, mesh.vip(name, family), 80)).toMatchObject(CARRIED);
  });
});

test.each([
  ["four", 4],
  ["six", 6],
] as const)(
  "30: the pod %s reaches, of the backends of a Service, those alone that have its family",
  async (pod, family) => {
    for (let i = 0; i < 20; i++) {
      expect(await dial(mesh.namespace(pod), mesh.vip("on-all", family), 80)).toMatchObject({ port: 8080 });
    }
  },
);

test("30: where no backend has the caller's family, the connection is reset at once and counted", async () => {
  const before = await count("six", "outbound failed-connect");
  expect(await dial(mesh.namespace("six"), mesh.vip("on-four", 6), 80)).toBe("refused");
  expect(await count("six", "outbound failed-connect")).toBe(before + 1);
});
