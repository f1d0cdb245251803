/**
 * This pod's certificate: asked for with a new key each time, renewed early, kept while the operator is away.
 *
 * Time: the renewal is due at a moment of the wall clock, drawn once per certificate between 33 and 50 % of its lifetime.
 * A timer that sleeps until then would miss it after a suspend or a clock step, so the clock is read at least every 30 s.
 */
import {
  createCsr,
  KeyPair,
  pemDecode,
  pemEncode,
  type SpiffeId,
  type TrustBundle,
  verifyChain,
} from "../identity/index.ts";
import type { Clock, Logger, Millis, Random } from "../mesh/index.ts";
import { Backoff, LONGEST_BACKOFF } from "./backoff.ts";
import type { Credentials, TlsMaterial } from "./credentials.ts";
import { ProxyError } from "./errors.ts";
import type { Metrics } from "./metrics.ts";
import type { TrustStore } from "./trust.ts";

/** A certificate in use, without its key. */
export interface LiveCertificate {
  /** Hexadecimal. */
  readonly serial: string;
  /** Key identifier of the issuer, hexadecimal; empty when the certificate does not say. */
  readonly issuerKeyId: string;
  readonly notBefore: Millis;
  readonly notAfter: Millis;
  /** The reissue epoch that was in force when it was asked for. */
  readonly epoch: number;
}

/** Sends a PKCS#10 request in PEM and answers the chain, leaf first, the last element holding the roots. */
export type RequestCertificate = (csrPem: string) => Promise<readonly string[]>;

export interface CertificateOptions {
  readonly id: SpiffeId;
  readonly request: RequestCertificate;
  readonly trust: TrustStore;
  /** The reissue epoch of the settings in force. */
  readonly epoch: () => number;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** Called after each certificate that was taken into use. */
  readonly onIssued: () => void;
}

const LONGEST_SLEEP: Millis = 30_000;
const RENEW_FROM = 0.33;
const RENEW_TO = 0.5;
/** Renewals that a raised epoch forces spread over this long, so that a fleet does not ask at once. */
const REISSUE_SPREAD: Millis = 2_000;

interface Held {
  readonly certificate: LiveCertificate;
  readonly chainPem: string;
  readonly keyPem: string;
  readonly renewAt: Millis;
}

export class CertificateStore implements Credentials, Disposable {
  readonly #options: CertificateOptions;
  readonly #backoff: Backoff;
  #held: Held | undefined;
  /** Made once per certificate and bundle, not per handshake. */
  #material: TlsMaterial | undefined;
  #timer: Disposable | undefined;
  #requesting = false;
  #retryAt: Millis = 0;
  #reissueAt: Millis | undefined;
  #closed = false;

  constructor(options: CertificateOptions) {
    this.#options = options;
    this.#backoff = new Backoff(options.random);
  }

  /** The certificate in use, expired or not. */
  get certificate(): LiveCertificate | undefined {
    return this.#held?.certificate;
  }

  current(): TlsMaterial | undefined {
    const held = this.#held;
    const ca = this.#options.trust.pem;
    if (held === undefined || ca === "" || this.#options.clock.now() >= held.certificate.notAfter) return undefined;
    if (this.#material?.ca !== ca) this.#material = { cert: held.chainPem, key: held.keyPem, ca };
    return this.#material;
  }

  /** Asks for what is due, and goes on by itself until disposed. To be called again when the epoch may have risen. */
  start(): void {
    this.#check();
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    this.#timer?.[Symbol.dispose]();
  }

  /** Asks if a certificate is due, and comes back in time for the next reason to. */
  #check(): void {
    if (this.#closed || this.#requesting) return;
    const now = this.#options.clock.now();
    // A clock that was set back must not stretch the back-off.
    if (this.#retryAt - now > LONGEST_BACKOFF) this.#retryAt = now;
    const due = Math.max(this.#dueAt(now), this.#retryAt);
    if (now >= due) {
      this.#requesting = true;
      this.#renew().finally(() => {
        this.#requesting = false;
        this.#check();
      });
      return;
    }
    this.#timer?.[Symbol.dispose]();
    this.#timer = this.#options.clock.after(Math.min(due - now, LONGEST_SLEEP), () => this.#check());
  }

  #dueAt(now: Millis): Millis {
    if (this.#held === undefined) return now;
    if (this.#held.certificate.epoch >= this.#options.epoch()) {
      this.#reissueAt = undefined;
      return this.#held.renewAt;
    }
    this.#reissueAt ??= now + this.#options.random.fraction() * REISSUE_SPREAD;
    return Math.min(this.#reissueAt, this.#held.renewAt);
  }

  async #renew(): Promise<void> {
    const { logger, metrics, clock } = this.#options;
    try {
      const held = await this.#issue();
      if (this.#closed) return;
      this.#held = held;
      this.#material = undefined;
      this.#retryAt = 0;
      this.#reissueAt = undefined;
      this.#backoff.reset();
      metrics.issued++;
      const { serial, notAfter } = held.certificate;
      logger.log("info", "certificate issued", { serial, notAfter: new Date(notAfter).toISOString() });
      this.#options.onIssued();
    } catch (error) {
      if (this.#closed) return;
      metrics.issueFailures++;
      const wait = this.#backoff.next();
      this.#retryAt = clock.now() + wait;
      logger.log("warn", "certificate request failed", {
        error: error instanceof Error ? error.message : String(error),
        retryInMillis: Math.round(wait),
        validUntil:
          this.#held === undefined ? "no certificate" : new Date(this.#held.certificate.notAfter).toISOString(),
      });
    }
  }

  async #issue(): Promise<Held> {
    const { clock, id, random } = this.#options;
    const epoch = this.#options.epoch();
    const key = KeyPair.generate();
    const elements = await this.#options.request(pemEncode("CERTIFICATE REQUEST", createCsr(key, id)));
    const bundle = await this.#options.trust.operatorRoots();
    const now = clock.now();
    const certificate = this.#judge(elements, key, bundle, now);
    const fraction = RENEW_FROM + (RENEW_TO - RENEW_FROM) * random.fraction();
    // From now, not from notBefore, which is backdated.
    const renewAt = now + fraction * (certificate.notAfter - now);
    return {
      certificate: { ...certificate, epoch },
      chainPem: elements.slice(0, -1).join("\n"),
      keyPem: key.privateKeyPem(),
      renewAt,
    };
  }

  /** What the operator returned is used only if it is ours, for this key, and a peer would believe it. */
  #judge(elements: readonly string[], key: KeyPair, bundle: TrustBundle, now: Millis): Omit<LiveCertificate, "epoch"> {
    if (elements.length < 2) throw new ProxyError("bad-answer", "the operator's answer holds no chain and roots");
    const chain = elements.slice(0, -1).flatMap((element) => pemDecode("CERTIFICATE", element));
    const { id, leaf } = verifyChain(chain, bundle, now);
    if (id !== this.#options.id) {
      throw new ProxyError("bad-answer", `the operator issued a certificate for ${id}, not for ${this.#options.id}`);
    }
    if (!Buffer.from(leaf.spki).equals(key.spki)) {
      throw new ProxyError("bad-answer", "the operator issued a certificate for another key than ours");
    }
    const { serial, notBefore, notAfter, authorityKeyId } = leaf;
    return { serial, issuerKeyId: authorityKeyId ?? "", notBefore, notAfter };
  }
}
