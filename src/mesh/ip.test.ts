import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { cidrContains, cidrOverlaps, formatAuthority, formatIp, parseAuthority, parseCidr, parseIp } from "./ip.ts";

const cidr = (text: string) => {
  const parsed = parseCidr(text);
  if (parsed === undefined) throw new Error(`not a CIDR: ${text}`);
  return parsed;
};
const ip = (text: string) => {
  const parsed = parseIp(text);
  if (parsed === undefined) throw new Error(`not an IP: ${text}`);
  return parsed;
};

describe("parseIp", () => {
  test.each([
    ["10.0.0.9", "10.0.0.9"],
    ["::ffff:10.0.0.9", "10.0.0.9"],
    ["::FFFF:0a00:0009", "10.0.0.9"],
    ["FD00:0:0:0:0:0:0:9", "fd00::9"],
    ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
    ["2001:0:0:1:0:0:0:1", "2001:0:0:1::1"],
    ["::", "::"],
    ["::1", "::1"],
    ["64:ff9b::192.0.2.33", "64:ff9b::c000:221"],
  ])("reads %s as %s (RFC 5952 §4)", (text, canonical) => {
    expect(String(parseIp(text))).toBe(canonical);
  });

  test.each([
    "",
    "10.0.0",
    "10.0.0.256",
    "010.0.0.1",
    "1.2.3.4.5",
    "fe80::1%eth0",
    "[::1]",
    "1::2::3",
    ":::",
    "1:2:3:4:5:6:7:8:9",
    "12345::",
    "::1.2.3",
    "1.2.3.4::",
    " 1.2.3.4",
    "1:2:3:4:5:6:7::8",
  ])("refuses %p", (text) => {
    expect(parseIp(text)).toBeUndefined();
  });

  test("reads back every address that it writes", () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.uint8Array({ minLength: 4, maxLength: 4 }), fc.uint8Array({ minLength: 16, maxLength: 16 })),
        (bytes) => {
          const text = formatIp(bytes);
          expect(parseIp(text)).toBe(text);
        },
      ),
    );
  });
});

describe("CIDR ranges", () => {
  test("contain the addresses of their prefix and no other", () => {
    expect(cidrContains(cidr("10.244.0.0/16"), ip("10.244.255.1"))).toBe(true);
    expect(cidrContains(cidr("10.244.0.0/16"), ip("10.245.0.1"))).toBe(false);
    expect(cidrContains(cidr("10.244.0.0/16"), ip("fd00::1"))).toBe(false);
    expect(cidrContains(cidr("fd00::/9"), ip("fd7f::1"))).toBe(true);
    expect(cidrContains(cidr("fd00::/9"), ip("fd80::1"))).toBe(false);
    expect(cidrContains(cidr("0.0.0.0/0"), ip("1.2.3.4"))).toBe(true);
  });

  test.each(["10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/08", "x/8", "::1/64"])("refuse %p", (text) => {
    expect(parseCidr(text)).toBeUndefined();
  });

  test("overlap exactly when one holds the other's first address", () => {
    expect(cidrOverlaps(cidr("10.0.0.0/8"), cidr("10.244.0.0/16"))).toBe(true);
    expect(cidrOverlaps(cidr("10.96.0.0/16"), cidr("10.244.0.0/16"))).toBe(false);
    expect(cidrOverlaps(cidr("0.0.0.0/0"), cidr("fd00::/8"))).toBe(false);
  });
});

describe("parseAuthority", () => {
  test("reads what formatAuthority writes, in both families", () => {
    for (const [text, authority] of [
      ["10.0.0.9", "10.0.0.9:80"],
      ["fd00::9", "[fd00::9]:80"],
    ] as const) {
      expect(formatAuthority(ip(text), 80)).toBe(authority);
      expect(parseAuthority(authority)).toEqual({ ip: ip(text), port: 80 });
    }
  });

  test.each([
    "",
    "10.0.0.9",
    "10.0.0.9:",
    "10.0.0.9:0",
    "10.0.0.9:080",
    "10.0.0.9:65536",
    "name:80",
    "user@10.0.0.9:80",
    "[10.0.0.9]:80",
    "[::1]80",
    "::1:80",
    "[fe80::1%1]:80",
    "10.0.0.9:80 ",
    "10.0.0.9:+80",
    `${"1".repeat(70)}:80`,
  ])("refuses %p", (text) => {
    expect(parseAuthority(text)).toBeUndefined();
  });
});
