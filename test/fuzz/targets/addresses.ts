/** Addresses, ranges and the authority of a CONNECT, judged beside Node's own parsers. */
import { isIP } from "node:net";
import {
  cidrContains,
  formatAuthority,
  formatCidr,
  formatIp,
  isIpv6,
  parseAuthority,
  parseCidr,
  parseIp,
  parseIpBytes,
} from "../../../src/mesh/index.ts";
import { bytesOf, promise, same, type Target } from "../target.ts";

const EXAMPLES = [
  "10.0.0.9:8080",
  "[fd00::9]:80",
  "[::ffff:10.0.0.9]:443",
  "10.244.0.0/16",
  "2001:db8::/32",
  "::",
  "0.0.0.0/0",
  "1:2:3:4:5:6:7:8",
  "fe80::1%eth0",
];

export const target: Target = {
  examples: EXAMPLES.map(bytesOf),
  longest: 80,
  tokens: ["::", ":0", "[", "]:", "/", "0", ".0", "%", "ffff:", "65535", "255", "::ffff:1.2.3.4", "/128"].map(bytesOf),
  run(input) {
    const text = Buffer.from(input).toString("latin1");
    const ip = parseIp(text);
    // A zone is no part of an address here.
    same(ip !== undefined, isIP(text) !== 0 && !text.includes("%"), "parseIp and net.isIP of the same text");
    if (ip !== undefined) {
      same(parseIp(ip), ip, "a canonical address read again");
      same(formatIp(parseIpBytes(ip) as Uint8Array), ip, "an address through bytes");
      same(isIP(ip), isIpv6(ip) ? 6 : 4, "the family");
      if (isIpv6(ip)) same(new URL(`http://[${ip}]/`).hostname, `[${ip}]`, "RFC 5952 as URL writes it");
    }
    const cidr = parseCidr(text);
    if (cidr !== undefined) {
      same(parseCidr(formatCidr(cidr)), cidr, "a range written and read again");
      promise(cidrContains(cidr, formatIp(cidr.bytes)), "a range contains its first address");
    }
    const authority = parseAuthority(text);
    if (authority === undefined) return;
    same(
      parseAuthority(formatAuthority(authority.ip, authority.port)),
      authority,
      "an authority written and read again",
    );
    promise(isIP(text.replace(/:\d+$/, "").replace(/^\[|\]$/g, "")) !== 0, "the host is an address to net.isIP");
    // Bun's URL refuses some addresses that end in dotted form.
    if (!URL.canParse(`http://${text}/`)) return;
    const url = new URL(`http://${text}/`);
    same(Number(url.port || 80), authority.port, "the port as URL reads it");
    same(parseIp(url.hostname.replace(/^\[|\]$/g, "")), authority.ip, "the host as URL reads it");
    same(url.username + url.password, "", "no user");
  },
};
