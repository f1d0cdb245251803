import { describe, expect, test } from "bun:test";
import { Authority } from "../../identity/index.ts";
import { INJECTOR_WEBHOOKS } from "../../mesh/index.ts";
import { FakeClock } from "../../testkit/fake-clock.ts";
import { SeededRandom } from "../../testkit/seeded-random.ts";
import type { Pod } from "../objects.ts";
import { Unseen } from "../seen.ts";
import { type ControlPlaneFacts, judgeControlPlane } from "./control-plane.ts";

const clock = new FakeClock();
const authority = Authority.create({ clock, random: new SeededRandom(1), trustDomain: "cluster.local" as never });
const PEM = authority.bundle().pem();
const VERSION = { "app.kubernetes.io/version": "0.1.0" };
const FORBIDDEN = new Unseen('leases is forbidden: User "eve" cannot get resource "leases"');

function replica(name: string, ready = "True"): Pod {
  return {
    metadata: { name, labels: VERSION },
    spec: { containers: [] },
    status: { conditions: [{ type: "Ready", status: ready }] },
  };
}

function judged(change: Partial<ControlPlaneFacts> = {}) {
  const caBundle = Buffer.from(PEM).toString("base64");
  return judgeControlPlane({
    now: clock.now(),
    namespace: "tulle-system",
    operator: {
      metadata: { name: "tulle-operator", labels: VERSION },
      spec: { replicas: 2, template: { spec: { containers: [{ name: "operator", args: ["--mode=strict"] }] } } },
      status: { replicas: 2, updatedReplicas: 2, availableReplicas: 2 },
    },
    pods: [replica("tulle-operator-1-a"), replica("tulle-operator-1-b")],
    lease: { metadata: { name: "tulle-operator" }, spec: { holderIdentity: "tulle-operator-1-b_0a1b2c3d" } },
    injector: {
      metadata: { name: "tulle-injector" },
      webhooks: INJECTOR_WEBHOOKS.map((name) => ({ name, clientConfig: { caBundle }, failurePolicy: "Ignore" })),
    },
    bundle: PEM,
    ...change,
  });
}

describe("a control plane", () => {
  test("is ready when operator, trust and injector are as they should be", () => {
    expect(judged()).toMatchObject({
      ready: true,
      version: "0.1.0",
      mode: "strict",
      replicas: [
        { pod: "tulle-operator-1-a", ready: true, version: "0.1.0", leader: false },
        { pod: "tulle-operator-1-b", ready: true, version: "0.1.0", leader: true },
      ],
      trust: { trustDomain: "cluster.local", roots: [{ fingerprint: expect.stringMatching(/^[0-9a-f]{64}$/) }] },
      injector: { webhooks: INJECTOR_WEBHOOKS.map((name) => ({ name, failurePolicy: "Ignore", caBundle: "current" })) },
      problems: [],
      warnings: [],
      unseen: [],
    });
  });

  test("is not there: one thing to say, whatever else is missing with it", () => {
    const absent = judged({ operator: undefined, pods: [], lease: undefined, injector: undefined, bundle: undefined });
    expect(absent).toMatchObject({
      ready: false,
      version: null,
      mode: null,
      trust: null,
      injector: null,
      warnings: [],
    });
    expect(absent.problems.map(({ text }) => text)).toEqual(["there is no operator in namespace tulle-system"]);
  });

  test.each([
    ["without a trust bundle", { bundle: undefined }, "the operator has published no trust bundle"],
    ["with a root that ran out", { now: Date.UTC(2056, 0, 1) }, "the newest root ran out on "],
    ["without its webhook configuration", { injector: undefined }, "there is no MutatingWebhookConfiguration"],
    ["with a bundle that is none", { bundle: "x" }, "the trust bundle holds no certificate"],
  ] as const)("is not ready %s, and says so once", (_what, change, text) => {
    const { ready, problems } = judged(change);
    expect(ready).toBe(false);
    expect(problems.filter((one) => one.text.startsWith(text))).toHaveLength(1);
    expect(problems.every((one) => one.fix !== null)).toBe(true);
  });

  test("is not ready while the caBundle is missing or another's", () => {
    const webhooks = (caBundle?: string) => ({
      metadata: { name: "tulle-injector" },
      webhooks: INJECTOR_WEBHOOKS.map((name) => ({
        name,
        failurePolicy: "Ignore",
        clientConfig: caBundle === undefined ? {} : { caBundle },
      })),
    });
    for (const [caBundle, state] of [[undefined, "missing"] as const, ["b3RoZXI=", "other"] as const]) {
      const { ready, injector } = judged({ injector: webhooks(caBundle) });
      expect([ready, injector?.webhooks.map((one) => one.caBundle)]).toEqual([false, [state, state]]);
    }
  });

  test("warns when no replica leads, by a Lease of nobody or of a pod that is gone", () => {
    for (const lease of [
      undefined,
      { metadata: { name: "l" }, spec: { holderIdentity: "tulle-operator-0-z_00000000" } },
    ]) {
      const { ready, warnings } = judged({ lease });
      expect([ready, warnings[0]?.text]).toEqual([true, expect.stringContaining("no replica leads")]);
    }
  });

  test("is not known to be ready where it may not be looked at, and says what that was", () => {
    for (const part of ["operator", "bundle", "injector"] as const) {
      const { ready, problems, unseen } = judged({ [part]: FORBIDDEN });
      expect([ready, problems]).toEqual([null, []]);
      expect(unseen).toEqual([{ part: part === "bundle" ? "trust" : part, why: FORBIDDEN.message }]);
    }
  });

  test("is ready also for who may see neither replicas nor leader", () => {
    const { ready, replicas, unseen, warnings } = judged({ pods: FORBIDDEN, lease: FORBIDDEN });
    expect([ready, replicas, warnings]).toEqual([true, null, []]);
    expect(unseen.map(({ part }) => part)).toEqual(["replicas", "leader"]);
  });

  test("does not know whether a caBundle is right without the bundle", () => {
    const { injector } = judged({ bundle: FORBIDDEN });
    expect(injector?.webhooks[0]?.caBundle).toBe("unknown");
  });
});
