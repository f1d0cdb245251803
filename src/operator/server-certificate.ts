/** The operator's own certificate for its gRPC port: a new key each time, renewed at half of its lifetime. */
import {
  type Authority,
  KeyPair,
  parseSpiffeId,
  pemEncode,
  type SpiffeId,
  type TrustDomain,
  workloadSpiffeId,
} from "../identity/index.ts";
import {
  type Clock,
  DEFAULT_CLUSTER_DOMAIN,
  type Ip,
  type Logger,
  type Millis,
  OPERATOR_SERVICE_ACCOUNT,
  operatorHost,
} from "../mesh/index.ts";

/** What a TLS server shows, in PEM. */
export interface ServerMaterial {
  readonly cert: string;
  /** Only for this process's own sockets: never logged, never written. */
  readonly key: string;
}

export interface ServerNames {
  /** Where the operator runs. */
  readonly namespace: string;
  readonly ips: readonly Ip[];
}

/** Who the operator is, as its certificate says and as the token of another replica does. */
export function operatorId(trustDomain: TrustDomain, namespace: string): SpiffeId {
  return parseSpiffeId(workloadSpiffeId(trustDomain, namespace, OPERATOR_SERVICE_ACCOUNT));
}

/** The clock is read at least this often, so that a suspend or a clock step is noticed. */
const LONGEST_SLEEP: Millis = 30_000;

export class ServerCertificate implements Disposable {
  readonly #authority: Authority;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #names: ServerNames;
  #material: ServerMaterial;
  #renewAt: Millis;
  #timer: Disposable;

  /** Throws IdentityError when the authority cannot sign. */
  constructor(authority: Authority, clock: Clock, logger: Logger, names: ServerNames) {
    this.#authority = authority;
    this.#clock = clock;
    this.#logger = logger;
    this.#names = names;
    [this.#material, this.#renewAt] = this.#issue();
    this.#timer = this.#sleep();
  }

  /** The newest certificate, for the next handshake. */
  get current(): ServerMaterial {
    return this.#material;
  }

  [Symbol.dispose](): void {
    this.#timer[Symbol.dispose]();
  }

  #issue(): [ServerMaterial, Millis] {
    const key = KeyPair.generate();
    const { namespace, ips } = this.#names;
    const host = operatorHost(namespace);
    const issued = this.#authority.issueServer({
      spki: key.spki,
      id: operatorId(this.#authority.trustDomain, namespace),
      dnsNames: [host, `${host}.${DEFAULT_CLUSTER_DOMAIN}`],
      ips,
    });
    const now = this.#clock.now();
    const cert = issued.chain.map((der) => pemEncode("CERTIFICATE", der)).join("");
    return [{ cert, key: key.privateKeyPem() }, now + (issued.notAfter - now) / 2];
  }

  #sleep(): Disposable {
    const rest = Math.max(0, this.#renewAt - this.#clock.now());
    return this.#clock.after(Math.min(rest, LONGEST_SLEEP), () => this.#check());
  }

  #check(): void {
    if (this.#clock.now() >= this.#renewAt) {
      try {
        [this.#material, this.#renewAt] = this.#issue();
      } catch (error) {
        // The one in use is good for as long again; the next look tries anew.
        this.#renewAt = this.#clock.now() + LONGEST_SLEEP;
        const why = error instanceof Error ? error.message : String(error);
        this.#logger.log("error", "the operator's own certificate was not renewed", { error: why });
      }
    }
    this.#timer = this.#sleep();
  }
}
