/** Whom this proxy trusts: the live bundle from discovery, and for reaching the operator also the bootstrap file. */
import { TrustBundle } from "../identity/index.ts";
import type { TrustBundleState } from "../mesh/index.ts";
import type { IdentityFiles } from "./identity-files.ts";

export class TrustStore {
  readonly #files: IdentityFiles;
  #live: TrustBundle | undefined;
  #pem = "";

  constructor(files: IdentityFiles) {
    this.#files = files;
  }

  /** The bundle that new handshakes with peers use; undefined before the first one came. */
  get live(): TrustBundle | undefined {
    return this.#live;
  }

  /** `live` in PEM. */
  get pem(): string {
    return this.#pem;
  }

  /**
   * Takes over a bundle from discovery; it counts for each handshake from now on. Throws IdentityError or RangeError for
   * one that must not be used: a root that is no certificate, or no root at all.
   */
  apply(state: TrustBundleState): void {
    if (state.roots.length === 0) throw new RangeError("the trust bundle is empty");
    const bundle = TrustBundle.of(state.sequence, state.roots);
    const notCa = bundle.certificates.find((root) => !root.isCa);
    if (notCa !== undefined) throw new RangeError(`the trust bundle holds ${notCa.serial}, which is not a CA`);
    this.#live = bundle;
    this.#pem = bundle.pem();
  }

  /**
   * Roots for judging the operator: the live ones and those of the file, read again. The file helps a proxy that was cut
   * off while the root was rotated; the live bundle one whose volume is not refreshed yet.
   */
  async operatorRoots(): Promise<TrustBundle> {
    const live = this.#live;
    try {
      return TrustBundle.of(live?.sequence ?? 0, union(live?.roots ?? [], await this.#files.roots()));
    } catch (error) {
      if (live === undefined) throw error;
      return live;
    }
  }
}

/** Each root once: a TLS library may refuse a bundle that names one twice. */
function union(first: readonly Uint8Array[], second: readonly Uint8Array[]): Uint8Array[] {
  return [...first, ...second.filter((root) => !first.some((known) => Buffer.from(known).equals(root)))];
}
