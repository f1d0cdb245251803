/** The trust bundle: the roots that are believed, and the sequence that grows with each change. */
import type { TrustBundleState } from "../mesh/index.ts";
import { type Certificate, isSignedBy, parseCertificate } from "./certificate.ts";
import { type Der, sameBytes } from "./der.ts";
import { IdentityError } from "./errors.ts";
import { pemEncode } from "./pem.ts";

/** Far above what a rotation needs (two); bounds what a peer can make us try. */
const MAX_ROOTS = 16;

/** An immutable set of roots. An empty one trusts nobody. */
export class TrustBundle implements TrustBundleState {
  readonly sequence: number;
  readonly roots: readonly Der[];
  /** The roots, parsed. */
  readonly certificates: readonly Certificate[];

  private constructor(sequence: number, certificates: readonly Certificate[]) {
    this.sequence = sequence;
    this.certificates = certificates;
    this.roots = certificates.map((certificate) => certificate.der);
  }

  /** Throws `bundle-sequence`, or `bundle-root` when an element is not a self-signed CA certificate of P-256. */
  static of(sequence: number, roots: readonly Uint8Array[]): TrustBundle {
    if (!Number.isSafeInteger(sequence) || sequence < 0) {
      throw new IdentityError("bundle-sequence", `a trust bundle's sequence must be a whole number, not ${sequence}`);
    }
    if (roots.length > MAX_ROOTS) {
      throw new IdentityError("bundle-root", `a trust bundle of ${roots.length} roots: at most ${MAX_ROOTS}`);
    }
    return new TrustBundle(sequence, roots.map(readRoot));
  }

  /** All roots as PEM blocks. */
  pem(): string {
    return this.roots.map((root) => pemEncode("CERTIFICATE", root)).join("");
  }
}

function readRoot(der: Uint8Array, index: number): Certificate {
  let why: string;
  try {
    const certificate = parseCertificate(der.slice());
    const usable = certificate.isCa && (certificate.keyUsage?.includes("keyCertSign") ?? true);
    if (!usable) why = "it may not sign certificates";
    else if (!sameBytes(certificate.subject, certificate.issuer) || !isSignedBy(certificate, certificate)) {
      why = "it is not signed by itself";
    } else return certificate;
  } catch (cause) {
    why = cause instanceof Error ? cause.message : String(cause);
  }
  throw new IdentityError("bundle-root", `root ${index + 1} of the trust bundle is not usable: ${why}`);
}
