/** Who gets which address on the local node, and whether that collides with the machine's routes. Pure. */
import {
  type Cidr,
  cidrContains,
  cidrOverlaps,
  formatCidr,
  formatIp,
  type Ip,
  isIpv6,
  parseCidr,
  parseIpBytes,
} from "../mesh/index.ts";
import { LocalError } from "./errors.ts";

/** One IPv4 and one IPv6 range. */
export interface Ranges {
  readonly v4: Cidr;
  readonly v6: Cidr;
}

export interface AddressPlan {
  readonly pods: Ranges;
  readonly services: Ranges;
  /** The node's own addresses, in the pod ranges. */
  readonly node: readonly [v4: Ip, v6: Ip];
  /** Cluster addresses of the name server. */
  readonly dns: readonly [v4: Ip, v6: Ip];
  /** Cluster addresses of the operator. */
  readonly operator: readonly [v4: Ip, v6: Ip];
}

export interface WantedRanges {
  /** `10.1.0.0/24`, or `10.1.0.0/24,fd00:1::/112`. */
  readonly podCidr?: string;
  readonly serviceCidr?: string;
}

const DEFAULT_PODS = ["10.244.0.0/24", "10.245.0.0/24", "172.29.244.0/24", "192.168.244.0/24"];
const DEFAULT_SERVICES = ["10.96.0.0/20", "10.112.0.0/20", "172.29.96.0/20", "192.168.96.0/20"];
const DEFAULT_PODS_6 = ["fd00:10:244::/112", "fd00:10:245::/112"];
const DEFAULT_SERVICES_6 = ["fd00:10:96::/112", "fd00:10:97::/112"];

/**
 * Chooses the ranges. A wanted range that overlaps a route of the machine is refused (exit code 2); a default range
 * that does gives way to the next one.
 */
export function planAddresses(wanted: WantedRanges, routes: readonly Cidr[]): AddressPlan {
  const given = {
    pods: parsePair(wanted.podCidr, "--pod-cidr", 26, 120),
    services: parsePair(wanted.serviceCidr, "--service-cidr", 26, 120),
  };
  const all = [given.pods.v4, given.pods.v6, given.services.v4, given.services.v6].filter((one) => one !== undefined);
  for (const cidr of all) {
    const route = routes.find((one) => one.prefix > 0 && cidrOverlaps(one, cidr));
    if (route !== undefined) {
      throw new LocalError("overlap", `${formatCidr(cidr)} overlaps the machine's route ${formatCidr(route)}`, {
        exitCode: 2,
        hint: "Choose another range, or leave the option out: play then finds a free one.",
      });
    }
  }
  const taken = [...routes.filter((one) => one.prefix > 0), ...all];
  const pick = (chosen: Cidr | undefined, defaults: readonly string[], what: string): Cidr => {
    const cidr = chosen ?? defaults.map(must).find((one) => !taken.some((other) => cidrOverlaps(one, other)));
    if (cidr === undefined) {
      throw new LocalError("overlap", `every default ${what} range overlaps a route of the machine`, {
        exitCode: 2,
        hint: `Name a free one with --${what}-cidr.`,
      });
    }
    taken.push(cidr);
    return cidr;
  };
  const pods = { v4: pick(given.pods.v4, DEFAULT_PODS, "pod"), v6: pick(given.pods.v6, DEFAULT_PODS_6, "pod") };
  const services = {
    v4: pick(given.services.v4, DEFAULT_SERVICES, "service"),
    v6: pick(given.services.v6, DEFAULT_SERVICES_6, "service"),
  };
  if (cidrOverlaps(pods.v4, services.v4) || cidrOverlaps(pods.v6, services.v6)) {
    throw new LocalError("overlap", "the pod and the service range overlap", {
      exitCode: 2,
      hint: "Choose two ranges apart.",
    });
  }
  const pair = (ranges: Ranges, offset: number) =>
    [addressAt(ranges.v4, offset), addressAt(ranges.v6, offset)] as const;
  return { pods, services, node: pair(pods, 1), dns: pair(services, 10), operator: pair(services, 2) };
}

/** The destinations of `ip -j route` and `ip -j -6 route`; anything that is no range is left out. */
export function routesOf(output: string): readonly Cidr[] {
  const routes =
    output.trim() === "" ? [] : (JSON.parse(output) as readonly { readonly dst?: string; readonly type?: string }[]);
  return routes.flatMap((route) => {
    const cidr = route.dst === undefined || route.dst === "default" ? undefined : parseCidr(route.dst);
    // fe80::/64 and ff00::/8 are on every link and collide with nothing here.
    return cidr === undefined || /^(fe80|ff00)/.test(route.dst ?? "") ? [] : [cidr];
  });
}

/** Addresses at the start of a range that are not handed out: those of the node and of its own Services. */
export const RESERVED = 16;

/** How many pods the ranges hold, and one more while a rollout replaces another. */
export function podCapacity({ pods }: Pick<AddressPlan, "pods">): number {
  return Math.min(sizeOf(pods.v4), sizeOf(pods.v6)) - RESERVED - 2;
}

function sizeOf(cidr: Cidr): number {
  return Math.min(2 ** (cidr.bytes.length * 8 - cidr.prefix), 65_536);
}

/** Hands out the addresses of one range in turn, so that a freed one is not used again at once. */
export class AddressPool {
  readonly #cidr: Cidr;
  readonly #reserved: number;
  readonly #size: number;
  readonly #used = new Set<Ip>();
  #next: number;

  /** The first `reserved` addresses are never handed out. */
  constructor(cidr: Cidr, reserved: number) {
    this.#cidr = cidr;
    this.#size = sizeOf(cidr);
    this.#next = reserved;
    this.#reserved = reserved;
  }

  /** Throws LocalError `addresses` when every address is in use. */
  allocate(): Ip {
    // The last address of an IPv4 range is its broadcast address.
    const end = this.#size - 1;
    for (let tried = this.#reserved; tried < end; tried++) {
      if (this.#next >= end) this.#next = this.#reserved;
      const ip = addressAt(this.#cidr, this.#next++);
      if (this.#used.has(ip)) continue;
      this.#used.add(ip);
      return ip;
    }
    throw new LocalError("addresses", `every address of ${formatCidr(this.#cidr)} is in use`, {
      hint: "Delete pods or services, or start play with a larger range.",
    });
  }

  /** Takes a certain address; false when it is in use or not of the range. */
  take(ip: Ip): boolean {
    if (this.#used.has(ip) || !cidrContains(this.#cidr, ip)) return false;
    this.#used.add(ip);
    return true;
  }

  release(ip: Ip): void {
    this.#used.delete(ip);
  }
}

/** The n-th address of a range. */
export function addressAt(cidr: Cidr, offset: number): Ip {
  const bytes = cidr.bytes.slice();
  for (let at = bytes.length - 1, rest = offset; rest > 0 && at >= 0; at--) {
    const sum = (bytes[at] as number) + (rest & 0xff);
    bytes[at] = sum & 0xff;
    rest = Math.floor(rest / 256) + (sum > 255 ? 1 : 0);
  }
  return formatIp(bytes);
}

function parsePair(
  text: string | undefined,
  option: string,
  maxPrefix4: number,
  maxPrefix6: number,
): { readonly v4: Cidr | undefined; readonly v6: Cidr | undefined } {
  let v4: Cidr | undefined;
  let v6: Cidr | undefined;
  for (const part of text === undefined ? [] : text.split(",")) {
    const cidr = parseCidr(part.trim());
    const bad = (why: string) =>
      new LocalError("cidr", `${option}: "${part}" ${why}`, {
        exitCode: 2,
        hint: "Write 10.1.0.0/24, or 10.1.0.0/24,fd00:1::/112.",
      });
    if (cidr === undefined) throw bad("is not a range (address and prefix length, host bits zero)");
    const six = cidr.bytes.length === 16;
    if (cidr.prefix > (six ? maxPrefix6 : maxPrefix4))
      throw bad(`is too small; use /${six ? maxPrefix6 : maxPrefix4} or shorter`);
    if ((six ? v6 : v4) !== undefined) throw bad("is a second range of its family");
    if (six) v6 = cidr;
    else v4 = cidr;
  }
  return { v4, v6 };
}

function must(text: string): Cidr {
  const cidr = parseCidr(text);
  if (cidr === undefined) throw new RangeError(text);
  return cidr;
}

/** The address of one family among several. */
export function ofFamily(ips: readonly Ip[], family: 4 | 6): Ip | undefined {
  return ips.find((ip) => isIpv6(ip) === (family === 6));
}

/** The reverse-lookup labels of an address, nibbles or octets last first. */
export function reverseLabels(ip: Ip): readonly string[] {
  const bytes = parseIpBytes(ip) as Uint8Array;
  if (bytes.length === 4) return [...bytes].reverse().map(String);
  return [...bytes].flatMap((byte) => [(byte >> 4).toString(16), (byte & 15).toString(16)]).reverse();
}
