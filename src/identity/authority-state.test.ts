import { describe, expect, test } from "bun:test";
import { FakeClock } from "../testkit/fake-clock.ts";
import { SeededRandom } from "../testkit/seeded-random.ts";
import { Authority } from "./authority.ts";
import { verifyChain } from "./chain.ts";
import { createCsr } from "./csr.ts";
import { IdentityError } from "./errors.ts";
import { KeyPair } from "./key-pair.ts";
import { parseSpiffeId, parseTrustDomain } from "./spiffe-id.ts";

const options = {
  trustDomain: parseTrustDomain("cluster.local"),
  clock: new FakeClock(Date.parse("2026-01-01T00:00:00Z")),
  random: new SeededRandom(1),
};
const authority = Authority.create(options);
const stored = authority.stored();
const id = parseSpiffeId("spiffe://cluster.local/ns/a/sa/b");

function refusal(text: string, more: Partial<typeof options> = {}): IdentityError {
  try {
    Authority.restore({ ...options, ...more }, text);
  } catch (error) {
    if (error instanceof IdentityError) return error;
    throw error;
  }
  throw new Error("it was taken");
}
const edited = (change: (state: Record<string, unknown>) => void) => {
  const state = JSON.parse(stored) as Record<string, unknown>;
  change(state);
  return JSON.stringify(state);
};

describe("a stored authority", () => {
  test("comes back as the same: same root, same bundle, same serials' second half, and it signs", () => {
    const restored = Authority.restore(options, stored);
    expect(restored.rootKeyId).toBe(authority.rootKeyId);
    expect(restored.intermediateKeyId).toBe(authority.intermediateKeyId);
    expect(restored.bundle().pem()).toBe(authority.bundle().pem());
    expect(restored.stored()).toBe(stored);
    const issue = (one: Authority) =>
      one.issueWorkload({ csr: createCsr(KeyPair.generate(), id), id, podUid: "pod-1" });
    const [first, second] = [issue(authority), issue(restored)];
    expect(second.serial.slice(-16)).toBe(first.serial.slice(-16));
    expect(verifyChain(second.chain, authority.bundle(), options.clock.now()).id).toBe(id);
  });

  test("cut off at any place is refused", () => {
    for (let length = 0; length < stored.length - 2; length += 97) {
      expect(refusal(stored.slice(0, length)).code).toBe("ca-state-unreadable");
    }
  });

  test("with any character changed is refused, and no message shows a key", () => {
    const secrets = [...stored.matchAll(/BEGIN PRIVATE KEY-----\\n.{64}\\n(.{24})/g)].map(
      (match) => match[1] as string,
    );
    expect(secrets).toHaveLength(2);
    for (let at = 0; at < stored.length; at += 41) {
      const other = stored[at] === "x" ? "y" : "x";
      const error = refusal(stored.slice(0, at) + other + stored.slice(at + 1));
      expect(error.code).toMatch(/^ca-state-/);
      for (const secret of secrets) expect(`${error.message} ${error.stack} ${error.hint}`).not.toContain(secret);
    }
  });

  test.each([
    [
      "a key of another authority",
      (state: Record<string, unknown>) =>
        Object.assign(state, { root: JSON.parse(Authority.create(options).stored()).root }),
    ],
    ["a lower sequence", (state: Record<string, unknown>) => Object.assign(state, { sequence: 0 })],
    ["no serial key", (state: Record<string, unknown>) => void delete state["serialKey"]],
  ])("edited by hand (%s) is refused", (_what, change) => {
    expect(refusal(edited(change)).code).toBe("ca-state-edited");
  });

  test("of another format or trust domain is refused, and told so", () => {
    expect(refusal(edited((state) => Object.assign(state, { format: 2 }))).code).toBe("ca-state-version");
    expect(refusal(stored, { trustDomain: parseTrustDomain("other.example") }).code).toBe("ca-state-foreign");
  });

  test("says how to restore and never offers to make a second root by itself", () => {
    expect(refusal("{").hint).toContain("no second authority is made");
  });
});
