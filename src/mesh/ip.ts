/** IP addresses, CIDR ranges and authorities: parsed once at the edge, compared as canonical text inside. */

declare const ipBrand: unique symbol;
/** A canonical address: IPv4 dotted, IPv6 per RFC 5952 (lower case, longest zero run as `::`); never v4-mapped. */
export type Ip = string & { readonly [ipBrand]: true };

/** Parses text (IPv4, IPv6, v4-mapped IPv6; no zone, no brackets) to its canonical form, or undefined. */
export function parseIp(text: string): Ip | undefined {
  const bytes = parseIpBytes(text);
  return bytes === undefined ? undefined : formatIp(bytes);
}

/** 4 or 16 network-order bytes; v4-mapped IPv6 becomes 4. */
export function parseIpBytes(text: string): Uint8Array | undefined {
  const bytes = text.includes(":") ? parseV6(text) : parseV4(text);
  return bytes === undefined ? undefined : unmap(bytes);
}

/** Canonical text of 4 or 16 network-order bytes (v4-mapped becomes IPv4). Throws RangeError on any other length. */
export function formatIp(raw: Uint8Array): Ip {
  const bytes = unmap(raw);
  if (bytes.length === 4) return bytes.join(".") as Ip;
  if (bytes.length !== 16) throw new RangeError(`an IP address has 4 or 16 bytes, not ${bytes.length}`);
  const groups: number[] = [];
  for (let i = 0; i < 16; i += 2) groups.push(((bytes[i] as number) << 8) | (bytes[i + 1] as number));
  let bestStart = -1;
  let bestLength = 1;
  for (let i = 0; i < 8; ) {
    let j = i;
    while (j < 8 && groups[j] === 0) j++;
    if (j - i > bestLength) {
      bestStart = i;
      bestLength = j - i;
    }
    i = Math.max(j, i + 1);
  }
  const hex = (from: number, to: number) =>
    groups
      .slice(from, to)
      .map((group) => group.toString(16))
      .join(":");
  if (bestStart < 0) return hex(0, 8) as Ip;
  return `${hex(0, bestStart)}::${hex(bestStart + bestLength, 8)}` as Ip;
}

export function isIpv6(ip: Ip): boolean {
  return ip.includes(":");
}

/** Loopback, in either family (127.0.0.0/8, ::1). */
export function isLoopback(ip: Ip): boolean {
  return ip === "::1" || ip.startsWith("127.");
}

export interface Cidr {
  readonly bytes: Uint8Array;
  readonly prefix: number;
}

/** `10.0.0.0/8`, `fd00::/8`, or a bare address as a range of one. Undefined when malformed or when host bits are set. */
export function parseCidr(text: string): Cidr | undefined {
  const slash = text.indexOf("/");
  const bytes = parseIpBytes(slash < 0 ? text : text.slice(0, slash));
  if (bytes === undefined) return undefined;
  const bits = bytes.length * 8;
  if (slash < 0) return { bytes, prefix: bits };
  const tail = text.slice(slash + 1);
  if (!/^(0|[1-9]\d{0,2})$/.test(tail)) return undefined;
  const prefix = Number(tail);
  if (prefix > bits) return undefined;
  for (let bit = prefix; bit < bits; bit++) {
    if (((bytes[bit >> 3] as number) >> (7 - (bit & 7))) & 1) return undefined;
  }
  return { bytes, prefix };
}

export function formatCidr(cidr: Cidr): string {
  return `${formatIp(cidr.bytes)}/${cidr.prefix}`;
}

export function cidrContains(cidr: Cidr, ip: Ip): boolean {
  const bytes = parseIpBytes(ip);
  return bytes !== undefined && bytes.length === cidr.bytes.length && samePrefix(bytes, cidr.bytes, cidr.prefix);
}

export function cidrOverlaps(a: Cidr, b: Cidr): boolean {
  return a.bytes.length === b.bytes.length && samePrefix(a.bytes, b.bytes, Math.min(a.prefix, b.prefix));
}

/** `10.0.0.9:80`, `[fd00::9]:80`. */
export function formatAuthority(ip: Ip, port: number): string {
  return isIpv6(ip) ? `[${ip}]:${port}` : `${ip}:${port}`;
}

/**
 * The authority of a CONNECT request: an IP literal (IPv6 bracketed) and a port 1–65535, nothing else
 * (no name, no user, no zone, no leading zero). Undefined when malformed.
 */
export function parseAuthority(text: string): { readonly ip: Ip; readonly port: number } | undefined {
  if (text.length > 64) return undefined;
  let host: string;
  let tail: string;
  if (text.startsWith("[")) {
    const end = text.indexOf("]:");
    if (end < 0) return undefined;
    host = text.slice(1, end);
    if (!host.includes(":")) return undefined;
    tail = text.slice(end + 2);
  } else {
    const colon = text.indexOf(":");
    if (colon < 0 || text.includes(":", colon + 1)) return undefined;
    host = text.slice(0, colon);
    tail = text.slice(colon + 1);
  }
  const ip = parseIp(host);
  if (ip === undefined || !/^[1-9]\d{0,4}$/.test(tail)) return undefined;
  const port = Number(tail);
  return port > 65535 ? undefined : { ip, port };
}

function samePrefix(a: Uint8Array, b: Uint8Array, prefix: number): boolean {
  const whole = prefix >> 3;
  for (let i = 0; i < whole; i++) if (a[i] !== b[i]) return false;
  const rest = prefix & 7;
  return rest === 0 || ((a[whole] as number) ^ (b[whole] as number)) >> (8 - rest) === 0;
}

function unmap(bytes: Uint8Array): Uint8Array {
  if (bytes.length !== 16) return bytes;
  for (let i = 0; i < 10; i++) if (bytes[i] !== 0) return bytes;
  return bytes[10] === 0xff && bytes[11] === 0xff ? bytes.slice(12) : bytes;
}

function parseV4(text: string): Uint8Array | undefined {
  const parts = text.split(".");
  if (parts.length !== 4) return undefined;
  const bytes = new Uint8Array(4);
  for (let i = 0; i < 4; i++) {
    const part = parts[i] as string;
    if (!/^(0|[1-9]\d{0,2})$/.test(part) || Number(part) > 255) return undefined;
    bytes[i] = Number(part);
  }
  return bytes;
}

function parseV6(text: string): Uint8Array | undefined {
  const bytes = new Uint8Array(16);
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const head = groupsOf(halves[0] as string, halves.length === 1);
  const tail = halves.length === 2 ? groupsOf(halves[1] as string, true) : [];
  if (head === undefined || tail === undefined) return undefined;
  if (halves.length === 1 ? head.length !== 16 : head.length + tail.length > 14) return undefined;
  bytes.set(head, 0);
  bytes.set(tail, 16 - tail.length);
  return bytes;
}

function groupsOf(text: string, mayEndInV4: boolean): number[] | undefined {
  if (text === "") return [];
  const out: number[] = [];
  const parts = text.split(":");
  for (let i = 0; i < parts.length; i++) {
    const part = parts[i] as string;
    if (part.includes(".")) {
      const v4 = mayEndInV4 && i === parts.length - 1 ? parseV4(part) : undefined;
      if (v4 === undefined) return undefined;
      out.push(...v4);
    } else {
      if (!/^[0-9a-fA-F]{1,4}$/.test(part)) return undefined;
      const group = Number.parseInt(part, 16);
      out.push(group >> 8, group & 0xff);
    }
  }
  return out;
}
