import { describe, expect, test } from "bun:test";
import { IdentityError } from "./errors.ts";
import { parseSpiffeId, parseTrustDomain, readWorkloadSpiffeId, trustDomainOf, workloadSpiffeId } from "./spiffe-id.ts";

const DOMAIN = new Set("abcdefghijklmnopqrstuvwxyz0123456789.-_");
const PATH = new Set([...DOMAIN, ..."ABCDEFGHIJKLMNOPQRSTUVWXYZ"]);
const accepts = (parse: () => unknown) => {
  try {
    parse();
    return true;
  } catch (error) {
    expect(error).toBeInstanceOf(IdentityError);
    return false;
  }
};

describe("parseSpiffeId (SPIFFE-ID §2)", () => {
  test("accepts exactly the allowed bytes in the trust domain and in the path, of all 256", () => {
    for (let code = 0; code < 256; code++) {
      const byte = String.fromCharCode(code);
      expect([byte, accepts(() => parseSpiffeId(`spiffe://a${byte}b/x`))]).toEqual([
        byte,
        DOMAIN.has(byte) || byte === "/",
      ]);
      expect([byte, accepts(() => parseSpiffeId(`spiffe://a/x${byte}y`))]).toEqual([
        byte,
        PATH.has(byte) || byte === "/",
      ]);
      expect([byte, accepts(() => parseTrustDomain(`a${byte}`))]).toEqual([byte, DOMAIN.has(byte)]);
    }
  });

  test.each([
    "spiffe://td",
    "spiffe://td/ns/a/sa/b",
    "spiffe://1.2.3.4/x",
    "spiffe://td/...",
    "spiffe://td/.path",
    "spiffe://td/a..b",
  ])("accepts %s", (text) => {
    expect(String(parseSpiffeId(text))).toBe(text);
  });

  test.each([
    "",
    "spiffe://",
    "spiffe:///x",
    "spiffe://td/",
    "spiffe://td//x",
    "spiffe://td/x/",
    "spiffe://td/./x",
    "spiffe://td/x/..",
    "Spiffe://td/x",
    "SPIFFE://td/x",
    "spiffe:/td/x",
    "http://td/x",
    "spiffe://td?q",
    "spiffe://td/x#f",
    "spiffe://user@td/x",
    "spiffe://td:80/x",
    "spiffe://td/%61",
    "spiffe://TD/x",
    "spiffe://[::1]/x",
    `spiffe://${"a".repeat(256)}/x`,
    `spiffe://td/${"a".repeat(2040)}`,
  ])("refuses %p", (text) => {
    expect(accepts(() => parseSpiffeId(text))).toBe(false);
  });

  test("accepts 2048 bytes and a trust domain of 255", () => {
    expect(parseSpiffeId(`spiffe://td/${"a".repeat(2048 - 12)}`)).toHaveLength(2048);
    expect(parseTrustDomain("a".repeat(255))).toHaveLength(255);
  });
});

describe("workload identities", () => {
  test("are read as they are written", () => {
    const id = workloadSpiffeId(parseTrustDomain("cluster.local"), "demo", "web");
    expect(String(id)).toBe("spiffe://cluster.local/ns/demo/sa/web");
    expect(readWorkloadSpiffeId(id)).toEqual({
      trustDomain: parseTrustDomain("cluster.local"),
      namespace: "demo",
      serviceAccount: "web",
    });
    expect(String(trustDomainOf(id))).toBe("cluster.local");
  });

  test.each(["spiffe://td", "spiffe://td/ns/a", "spiffe://td/ns/a/sa/b/c", "spiffe://td/sa/a/ns/b"])(
    "are not read from %s",
    (text) => {
      expect(readWorkloadSpiffeId(parseSpiffeId(text))).toBeUndefined();
    },
  );

  test("cannot be made to climb with a slash in a name", () => {
    expect(() => workloadSpiffeId(parseTrustDomain("td"), "a/sa/b", "c")).toThrow(IdentityError);
  });
});
