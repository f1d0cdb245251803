/** The mesh's certificate authority: root → intermediate → leaf, keys in this process's memory and in the CA store. */
import { createHmac } from "node:crypto";
import { type Clock, type Ip, type Millis, parseIpBytes, type Random } from "../mesh/index.ts";
import { writeTime } from "./asn1-time.ts";
import { readAuthorityState, type Signer, writeAuthorityState } from "./authority-state.ts";
import { TrustBundle } from "./bundle.ts";
import { checkIssued, type Expectation } from "./check-issued.ts";
import { readCsr } from "./csr.ts";
import { type Der, toHex } from "./der.ts";
import { sequence, unsignedInteger } from "./der-writer.ts";
import { IdentityError, quoted } from "./errors.ts";
import { KeyPair } from "./key-pair.ts";
import {
  type AltNames,
  altNamesExtension,
  authorityKeyIdExtension,
  authorityName,
  BOTH_USES,
  caExtension,
  certificateExtensions,
  ECDSA_WITH_SHA256,
  EMPTY_NAME,
  keyUsageExtension,
  NOT_A_CA,
  signed,
  subjectKeyIdExtension,
  VERSION_3,
} from "./profile.ts";
import { importPublicKey, keyIdOf } from "./public-key.ts";
import { isDnsSubdomain, type SpiffeId, type TrustDomain, trustDomainId, trustDomainOf } from "./spiffe-id.ts";

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const DAY = 24 * 60 * MINUTE;

/** How far notBefore lies in the past, for clocks that differ. */
export const BACKDATE: Millis = 2 * MINUTE;
export const DEFAULT_LEAF_LIFETIME: Millis = DAY;
const DEFAULT_INTERMEDIATE_LIFETIME: Millis = 365 * DAY;
const DEFAULT_ROOT_LIFETIME: Millis = 3650 * DAY;
const MAX_POD_UID = 128;

const LEAF_USAGE = keyUsageExtension(["digitalSignature"]);
const SIGNER_USAGE = keyUsageExtension(["keyCertSign", "cRLSign"]);

export interface AuthorityOptions {
  readonly trustDomain: TrustDomain;
  readonly clock: Clock;
  readonly random: Random;
  /** Default ten years. */
  readonly rootLifetime?: Millis;
  /** Default one year. */
  readonly intermediateLifetime?: Millis;
  /** Default and upper bound of what is issued; default one day. */
  readonly leafLifetime?: Millis;
}

export interface IssuedCertificate {
  /** Leaf first, then the intermediate; the root is left out. */
  readonly chain: readonly Der[];
  /** Hex. */
  readonly serial: string;
  readonly notBefore: Millis;
  readonly notAfter: Millis;
}

interface Order {
  readonly spki: Der;
  readonly id: SpiffeId;
  readonly names: AltNames;
  readonly ips: readonly Ip[];
  /** What the second half of the serial is made of. */
  readonly owner: string;
  readonly lifetime: Millis | undefined;
}

/** Signs leaves with its intermediate. One root and one intermediate for now; the bundle leaves room for more. */
export class Authority {
  readonly trustDomain: TrustDomain;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #leafLifetime: Millis;
  readonly #root: Signer;
  readonly #intermediate: Signer;
  readonly #serialKey: Uint8Array;
  readonly #bundle: TrustBundle;
  /** The last extension of every leaf, made once. */
  readonly #issuerKeyId: Der;

  private constructor(
    options: AuthorityOptions,
    root: Signer,
    intermediate: Signer,
    kept: { readonly serialKey: Uint8Array; readonly sequence: number },
  ) {
    this.trustDomain = options.trustDomain;
    this.#clock = options.clock;
    this.#random = options.random;
    this.#leafLifetime = checkLifetime(options.leafLifetime ?? DEFAULT_LEAF_LIFETIME);
    this.#root = root;
    this.#intermediate = intermediate;
    this.#serialKey = kept.serialKey;
    this.#bundle = TrustBundle.of(kept.sequence, [root.certificate.der]);
    this.#issuerKeyId = authorityKeyIdExtension(keyIdOf(intermediate.key.spki));
  }

  /** A new root and a new intermediate, both with new keys. Throws `bad-lifetime`. */
  static create(options: AuthorityOptions): Authority {
    const root = makeSigner("root", options, undefined, checkLifetime(options.rootLifetime ?? DEFAULT_ROOT_LIFETIME));
    const lifetime = checkLifetime(options.intermediateLifetime ?? DEFAULT_INTERMEDIATE_LIFETIME);
    const kept = { serialKey: options.random.bytes(32), sequence: 1 };
    return new Authority(options, root, makeSigner("intermediate", options, root, lifetime), kept);
  }

  /** The authority that `stored` is of. Throws IdentityError `ca-state-…`. */
  static restore(options: AuthorityOptions, stored: string): Authority {
    const state = readAuthorityState(stored, options.trustDomain);
    return new Authority(options, state.root, state.intermediate, state);
  }

  /** For the CA store and nothing else: it holds the private keys. */
  stored(): string {
    return writeAuthorityState({
      trustDomain: this.trustDomain,
      sequence: this.#bundle.sequence,
      root: this.#root,
      intermediate: this.#intermediate,
      serialKey: this.#serialKey,
    });
  }

  /** Hex of the root's subject key identifier. */
  get rootKeyId(): string {
    return toHex(keyIdOf(this.#root.key.spki));
  }

  /** Hex of the intermediate's subject key identifier: the authority key identifier of every leaf. */
  get intermediateKeyId(): string {
    return toHex(keyIdOf(this.#intermediate.key.spki));
  }

  bundle(): TrustBundle {
    return this.#bundle;
  }

  /**
   * A workload's certificate, built from `id` (which the caller took from a reviewed token); of the request only the
   * key is used, after every check. Throws IdentityError.
   */
  issueWorkload(request: {
    readonly csr: Uint8Array;
    readonly id: SpiffeId;
    readonly podUid: string;
    readonly lifetime?: Millis;
  }): IssuedCertificate {
    if (request.podUid.length > MAX_POD_UID || !/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(request.podUid)) {
      throw new IdentityError("bad-pod-uid", `${quoted(request.podUid)} is not a pod UID`);
    }
    const { spki } = readCsr(request.csr, request.id);
    const { id, lifetime, podUid } = request;
    return this.#issue({ spki, id, names: { uris: [id] }, ips: [], owner: podUid, lifetime });
  }

  /** A server certificate of the control plane: its SPIFFE ID and the names that clients check. Throws IdentityError. */
  issueServer(request: {
    readonly spki: Der;
    readonly id: SpiffeId;
    readonly dnsNames: readonly string[];
    readonly ips: readonly Ip[];
    readonly lifetime?: Millis;
  }): IssuedCertificate {
    const { spki, id, dnsNames: dns, ips, lifetime } = request;
    importPublicKey(spki);
    for (const name of dns) {
      if (!isDnsSubdomain(name)) throw new IdentityError("bad-server-name", `${quoted(name)} is not a DNS name`);
    }
    const addresses = ips.map(addressBytes);
    return this.#issue({ spki, id, names: { uris: [id], dns, ips: addresses }, ips, owner: id, lifetime });
  }

  #issue(order: Order): IssuedCertificate {
    if (trustDomainOf(order.id) !== this.trustDomain) {
      throw new IdentityError("foreign-trust-domain", `${order.id} is not of the trust domain ${this.trustDomain}`);
    }
    const issuer = this.#intermediate.certificate;
    const now = this.#clock.now();
    const lifetime = Math.min(checkLifetime(order.lifetime ?? this.#leafLifetime), this.#leafLifetime);
    this.#checkIssuers(now);
    const notBefore = wholeSecond(Math.max(now - BACKDATE, issuer.notBefore));
    const notAfter = wholeSecond(Math.min(now + lifetime, issuer.notAfter));
    const tbs = sequence(
      VERSION_3,
      unsignedInteger(this.#serial(order.owner)),
      ECDSA_WITH_SHA256,
      issuer.subject,
      sequence(writeTime(notBefore), writeTime(notAfter)),
      EMPTY_NAME,
      order.spki,
      certificateExtensions(
        altNamesExtension(order.names, true),
        NOT_A_CA,
        LEAF_USAGE,
        BOTH_USES,
        subjectKeyIdExtension(keyIdOf(order.spki)),
        this.#issuerKeyId,
      ),
    );
    const der = signed(tbs, this.#intermediate.key.sign(tbs));
    const expected: Expectation = {
      kind: "leaf",
      id: order.id,
      issuer,
      spki: order.spki,
      dnsNames: order.names.dns ?? [],
      ips: order.ips,
    };
    const leaf = checkIssued(der, expected);
    return { chain: [der, issuer.der], serial: leaf.serial, notBefore: leaf.notBefore, notAfter: leaf.notAfter };
  }

  #checkIssuers(now: Millis): void {
    for (const { certificate } of [this.#intermediate, this.#root]) {
      if (now < certificate.notBefore) {
        const from = new Date(certificate.notBefore).toISOString();
        throw new IdentityError("issuer-not-yet-valid", `the authority's certificate is not valid before ${from}`, {
          hint: "set the clock of this machine",
        });
      }
      if (now >= certificate.notAfter) {
        const until = new Date(certificate.notAfter).toISOString();
        throw new IdentityError("issuer-expired", `the authority's certificate expired at ${until}`);
      }
    }
  }

  /** 64 random bits ‖ 64 bits of HMAC-SHA256(key, owner): a pod's certificates can be told without a list of them. */
  #serial(owner: string): Uint8Array {
    const serial = new Uint8Array(16);
    serial.set(positive(this.#random.bytes(8)));
    serial.set(createHmac("sha256", this.#serialKey).update(owner).digest().subarray(0, 8), 8);
    return serial;
  }
}

function makeSigner(
  kind: "root" | "intermediate",
  options: AuthorityOptions,
  parent: Signer | undefined,
  lifetime: Millis,
): Signer {
  const key = KeyPair.generate();
  const now = options.clock.now();
  const serial = positive(options.random.bytes(16));
  const id = trustDomainId(options.trustDomain);
  const subject = authorityName(`Tulle ${kind} ${toHex(serial.subarray(0, 4))}`);
  const notAfter = Math.min(now + lifetime, parent?.certificate.notAfter ?? Number.POSITIVE_INFINITY);
  const tbs = sequence(
    VERSION_3,
    unsignedInteger(serial),
    ECDSA_WITH_SHA256,
    parent?.certificate.subject ?? subject,
    sequence(writeTime(wholeSecond(now - BACKDATE)), writeTime(wholeSecond(notAfter))),
    subject,
    key.spki,
    certificateExtensions(
      caExtension(kind === "root" ? undefined : 0),
      SIGNER_USAGE,
      altNamesExtension({ uris: [id] }, false),
      subjectKeyIdExtension(keyIdOf(key.spki)),
      authorityKeyIdExtension(keyIdOf((parent?.key ?? key).spki)),
    ),
  );
  const der = signed(tbs, (parent?.key ?? key).sign(tbs));
  return { key, certificate: checkIssued(der, { kind, id, issuer: parent?.certificate ?? "self", spki: key.spki }) };
}

function addressBytes(ip: Ip): Uint8Array {
  const bytes = parseIpBytes(ip);
  if (bytes === undefined) throw new IdentityError("bad-server-name", `${quoted(ip)} is not an address`);
  return bytes;
}

function checkLifetime(lifetime: Millis): Millis {
  if (Number.isFinite(lifetime) && lifetime >= SECOND) return lifetime;
  throw new IdentityError("bad-lifetime", `a lifetime of ${lifetime} ms: at least one second`);
}

/** Clears the sign bit and keeps the first byte from being zero, so that the length is fixed. */
function positive(bytes: Uint8Array): Uint8Array {
  const first = (bytes[0] as number) & 0x7f;
  bytes[0] = first === 0 ? 1 : first;
  return bytes;
}

function wholeSecond(time: Millis): Millis {
  return Math.floor(time / SECOND) * SECOND;
}
