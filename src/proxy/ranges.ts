/** The CIDRs inside which a destination belongs to the mesh, so that it never passes for want of an answer. */
import { type Cidr, cidrContains, type Ip, type ProxySettings, parseCidr } from "../mesh/index.ts";

export class Ranges {
  readonly #pods: readonly Cidr[];
  readonly #services: readonly Cidr[];

  /** Throws RangeError for a CIDR that is malformed. */
  constructor(settings: Pick<ProxySettings, "podRanges" | "serviceRanges">) {
    this.#pods = settings.podRanges.map(parse);
    this.#services = settings.serviceRanges.map(parse);
  }

  /** A pod may appear at this address. */
  holdsPod(ip: Ip): boolean {
    return this.#pods.some((range) => cidrContains(range, ip));
  }

  /** The address belongs to the mesh. */
  holds(ip: Ip): boolean {
    return this.holdsPod(ip) || this.#services.some((range) => cidrContains(range, ip));
  }
}

function parse(text: string): Cidr {
  const range = parseCidr(text);
  if (range === undefined) throw new RangeError(`${JSON.stringify(text)} is not a CIDR`);
  return range;
}
