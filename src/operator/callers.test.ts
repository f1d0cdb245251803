import { describe, expect, test } from "bun:test";
import { status } from "@grpc/grpc-js";
import { parseTrustDomain } from "../identity/index.ts";
import { MemoryStore, type PodRecord } from "../mesh/index.ts";
import { FakeTokenReviewer } from "../testkit/fake-token-reviewer.ts";
import { podRecord } from "../testkit/mesh-records.ts";
import { Callers } from "./callers.ts";
import { Refusal, type StatusName } from "./errors.ts";

const POD = podRecord("web", "10.244.0.2");

function stage(pod: PodRecord | undefined = POD) {
  const pods = new MemoryStore<PodRecord>();
  if (pod !== undefined) pods.set(`${pod.namespace}/${pod.name}`, pod);
  const reviewer = new FakeTokenReviewer();
  return { pods, reviewer, callers: new Callers(reviewer, pods, parseTrustDomain("cluster.local")) };
}

/** How the call is refused: status, reason, and what the caller is told. */
async function refusal(callers: Callers, ...authorization: string[]): Promise<Refusal> {
  const error = await callers.authenticate(authorization).then(
    () => undefined,
    (cause: unknown) => cause,
  );
  if (!(error instanceof Refusal)) throw new Error(`not refused: ${error}`);
  return error;
}

async function expectRefusal(
  callers: Callers,
  authorization: readonly string[],
  code: StatusName,
  reason: string,
): Promise<void> {
  const refused = await refusal(callers, ...authorization);
  expect([refused.code, refused.reason]).toEqual([status[code], reason]);
  expect(refused.details).toStartWith(`${reason}: `);
}

describe("a caller", () => {
  test("is the pod that its token is bound to, under its service account's SPIFFE ID", async () => {
    const { callers, reviewer } = stage();
    const caller = await callers.authenticate([`Bearer ${reviewer.tokenOf(POD)}`]);
    expect(caller).toEqual({ id: "spiffe://cluster.local/ns/shop/sa/web" as typeof caller.id, pod: POD });
    expect(reviewer.asked.map((one) => one.audience)).toEqual(["tulle-ca"]);
  });

  test("may have a pod that is not ready, is being stopped, or has no node yet", async () => {
    for (const changes of [{ ready: false }, { terminating: true }, { node: "" }]) {
      const { callers, reviewer, pods } = stage();
      const pod = { ...POD, ...changes };
      pods.set("shop/web", pod);
      const token = reviewer.tokenOf(POD, { nodeName: "node-1" });
      expect((await callers.authenticate([`Bearer ${token}`])).pod).toBe(pod);
    }
  });

  const headers: readonly [string, readonly string[], string][] = [
    ["without a token", [], "token-missing"],
    ["with two tokens", ["Bearer a", "Bearer a"], "token-several"],
    ["with a token that is too long", [`Bearer ${"x".repeat(16_384)}`], "token-too-long"],
    ["with another scheme", ["Basic YTpi"], "token-malformed"],
    ["with the scheme in lower case", ["bearer a"], "token-malformed"],
    ["with two words", ["Bearer a b"], "token-malformed"],
    ["with a line end in the token", ["Bearer a\nb"], "token-malformed"],
    ["with an empty token", ["Bearer "], "token-malformed"],
    ["with letters that no token has", ["Bearer tökén"], "token-malformed"],
  ];
  test.each(headers)("%s is refused before anybody is asked", async (_what, authorization, reason) => {
    const { callers, reviewer } = stage();
    await expectRefusal(callers, authorization, "UNAUTHENTICATED", reason);
    expect(reviewer.asked).toEqual([]);
  });

  test("with a token that the reviewer does not accept hears nothing of the reviewer's words", async () => {
    const { callers } = stage();
    const refused = await refusal(callers, "Bearer stolen");
    expect([refused.code, refused.details]).toEqual([status.UNAUTHENTICATED, "token-invalid: the token is not valid"]);
    expect(String(refused.cause)).toContain("Token is unknown");
  });

  const reviews: readonly [string, object, StatusName, string][] = [
    ["for another audience", { audiences: ["istio-ca"] }, "UNAUTHENTICATED", "token-audience"],
    ["for no audience", { audiences: [] }, "UNAUTHENTICATED", "token-audience"],
    ["of a user", { username: "admin" }, "UNAUTHENTICATED", "token-subject"],
    [
      "of a user who took a service account's name",
      { groups: ["system:authenticated"] },
      "UNAUTHENTICATED",
      "token-subject",
    ],
    ["of a name with five parts", { username: "system:serviceaccount:shop:web:x" }, "UNAUTHENTICATED", "token-subject"],
    ["that is not bound", { podName: undefined, podUid: undefined }, "UNAUTHENTICATED", "token-unbound"],
    ["that is bound by name alone", { podUid: undefined }, "UNAUTHENTICATED", "token-unbound"],
    ["of a pod that nobody has told of", { podName: "new" }, "UNAVAILABLE", "pod-unknown"],
    ["of a pod in another namespace", { username: "system:serviceaccount:bank:web" }, "UNAVAILABLE", "pod-unknown"],
    ["of an earlier pod of this name", { podUid: "uid-old" }, "PERMISSION_DENIED", "pod-replaced"],
    [
      "of another service account",
      { username: "system:serviceaccount:shop:db" },
      "PERMISSION_DENIED",
      "pod-service-account",
    ],
    ["of another node", { nodeName: "node-2" }, "PERMISSION_DENIED", "pod-node"],
  ];
  test.each(reviews)("with a token %s is refused", async (_what, changes, code, reason) => {
    const { callers, reviewer } = stage();
    await expectRefusal(callers, [`Bearer ${reviewer.tokenOf(POD, changes)}`], code, reason);
  });

  test("whose service account is no Kubernetes name is refused", async () => {
    const pod = { ...POD, serviceAccount: "../web" };
    const { callers, reviewer } = stage(pod);
    await expectRefusal(callers, [`Bearer ${reviewer.tokenOf(pod)}`], "UNAUTHENTICATED", "token-subject");
  });

  test("whose pod has ended is refused", async () => {
    const { callers, reviewer } = stage({ ...POD, finished: true });
    await expectRefusal(callers, [`Bearer ${reviewer.tokenOf(POD)}`], "PERMISSION_DENIED", "pod-finished");
  });

  test("may come again when nobody could be asked, and hears nothing of why", async () => {
    const { callers, reviewer } = stage();
    reviewer.down = true;
    const refused = await refusal(callers, `Bearer ${reviewer.tokenOf(POD)}`);
    expect([refused.code, refused.details]).toEqual([
      status.UNAVAILABLE,
      "review-failed: the token could not be reviewed now",
    ]);
    expect(String(refused.cause)).toContain("10.96.0.1");
  });
});
