/** What a user may set about capture, parsed once from text. */
import { type Cidr, parseCidr } from "../mesh/index.ts";
import { CaptureError } from "./errors.ts";

/** Ports `first` to `last`, both included, 1–65535. */
export interface PortRange {
  readonly first: number;
  readonly last: number;
}

export interface CaptureConfig {
  /** The user whose traffic is never captured: the proxy. */
  readonly proxyUid: number;
  /** Ports of the pod whose plaintext goes straight to the application. */
  readonly skipInboundPorts: readonly PortRange[];
  /** Destination ports that the application reaches without the proxy. */
  readonly skipOutboundPorts: readonly PortRange[];
  /** Sources whose plaintext goes straight to the application. */
  readonly skipInboundCidrs: readonly Cidr[];
  /** Destinations that the application reaches without the proxy. */
  readonly skipOutboundCidrs: readonly Cidr[];
}

/**
 * Ports and ranges, separated by commas: `3306,8000-8010`. Empty text is an empty list. The answer is sorted, and
 * what overlaps or touches is joined, so equal sets give equal rules. `setting` names the flag in the error.
 */
export function parsePortRanges(text: string, setting: string): PortRange[] {
  const ranges = items(text).map((item): PortRange => {
    const [first, last, ...rest] = item.split("-").map(parsePort);
    if (first === undefined || rest.length > 0 || (item.includes("-") && last === undefined)) {
      throw badValue(setting, item, "a port from 1 to 65535, or a range of them such as 8000-8010");
    }
    if (last !== undefined && last < first) {
      throw badValue(setting, item, `a range from the lower to the higher port: ${last}-${first}`);
    }
    return { first, last: last ?? first };
  });
  return joinRanges(ranges);
}

/** CIDR ranges and addresses of both families, separated by commas: `10.0.0.0/8,fd00::/8,192.0.2.7`. */
export function parseCidrs(text: string, setting: string): Cidr[] {
  return items(text).map((item) => {
    const cidr = parseCidr(item);
    if (cidr === undefined) {
      throw badValue(
        setting,
        item,
        "an address or the first address of a range with its prefix length, such as 10.0.0.0/8 or fd00::/8",
      );
    }
    return cidr;
  });
}

/**
 * A numeric user id. Root is refused: everything that runs as the proxy's user leaves uncaptured, and most
 * containers run as root. Names are refused because looking one up may need the network.
 */
export function parseUserId(text: string, setting: string): number {
  const uid = /^[1-9]\d{0,9}$/.test(text) ? Number(text) : Number.NaN;
  // 2^32 - 1 is "no user" to the kernel.
  if (!(uid < 0xffff_ffff)) throw badValue(setting, text, "the numeric id of a user other than root, such as 1337");
  return uid;
}

/** Sorted, overlapping and touching ranges joined. */
export function joinRanges(ranges: readonly PortRange[]): PortRange[] {
  const joined: { first: number; last: number }[] = [];
  for (const { first, last } of [...ranges].sort((a, b) => a.first - b.first)) {
    const previous = joined.at(-1);
    if (previous !== undefined && first <= previous.last + 1) previous.last = Math.max(previous.last, last);
    else joined.push({ first, last });
  }
  return joined;
}

function parsePort(text: string): number | undefined {
  if (!/^[1-9]\d{0,4}$/.test(text)) return undefined;
  const port = Number(text);
  return port > 65535 ? undefined : port;
}

function items(text: string): string[] {
  return text.trim() === "" ? [] : text.split(",").map((item) => item.trim());
}

function badValue(setting: string, value: string, right: string): CaptureError {
  return new CaptureError("bad-value", `${setting}: "${value}" is not valid`, { hint: `Give ${right}.` });
}
