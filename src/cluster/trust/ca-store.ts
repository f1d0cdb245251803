/**
 * The mesh's authority in a Secret: made once, by whoever of the replicas is first, and never a second time while anything
 * in the cluster believes the first.
 */
import { Authority, type AuthorityOptions, IdentityError, pemDecode, TrustBundle } from "../../identity/index.ts";
import { isKubeError, type KubeClient } from "../../kube/index.ts";
import { type Logger, OPERATOR_NAMES, ROOT_CERTIFICATE_FILE, TRUST_BUNDLE_CONFIG_MAP } from "../../mesh/index.ts";
import { ClusterError } from "../errors.ts";
import { CONFIG_MAPS, SECRETS, type Secret } from "../resources.ts";

/** Name of the Secret, in the operator's namespace. */
export const CA_SECRET = OPERATOR_NAMES.caSecret;
/** Its one key: one object, so that a write is whole or not at all. */
export const CA_KEY = "authority.json";

export interface CaStoreOptions {
  readonly client: KubeClient;
  readonly namespace: string;
  readonly authority: AuthorityOptions;
  readonly logger: Logger;
}

const RESTORE =
  `Restore the Secret ${CA_SECRET} from a backup (kubectl apply -f BACKUP). Only if the mesh's trust may be lost: delete the ` +
  `ConfigMap ${TRUST_BUNDLE_CONFIG_MAP} in the operator's namespace as well, and a new authority is made; every meshed pod then ` +
  "has to be restarted.";

export class CaStore {
  readonly #options: CaStoreOptions;

  constructor(options: CaStoreOptions) {
    this.#options = options;
  }

  /**
   * The stored authority, or a new one when there is none and nothing in the cluster believes an earlier one. Throws
   * ClusterError `ca-store-missing` and `ca-store-changed` with the way back, KubeError when the API cannot be asked.
   */
  async open(): Promise<Authority> {
    // The bundle is looked at between two readings: another replica may be making both this very moment.
    const stored = await this.#read();
    if (stored !== undefined) return this.#restore(stored);
    const published = await this.#publishedBundle();
    const meanwhile = await this.#read();
    if (meanwhile !== undefined) return this.#restore(meanwhile);
    if (published) {
      throw new ClusterError(
        "ca-store-missing",
        `the Secret ${CA_SECRET} is gone, but the mesh's trust bundle is there: pods believe an authority that cannot sign any more`,
        { hint: RESTORE },
      );
    }
    const made = Authority.create(this.#options.authority);
    try {
      await this.#create(made);
      this.#options.logger.log("info", "authority made", { rootKeyId: made.rootKeyId, secret: CA_SECRET });
      return made;
    } catch (error) {
      // Another replica was first: its authority is the mesh's.
      if (!isKubeError(error, "already-exists")) throw error;
      const winner = await this.#read();
      if (winner === undefined) throw error;
      return this.#restore(winner);
    }
  }

  /**
   * Undefined while the Secret still holds this very authority. Otherwise what is wrong: it must not sign meanwhile.
   * Throws KubeError when the API cannot be asked, which says nothing about the store.
   */
  async changed(authority: Authority): Promise<ClusterError | undefined> {
    const text = await this.#read();
    if (text === undefined) {
      return new ClusterError("ca-store-missing", `the Secret ${CA_SECRET} was deleted`, { hint: RESTORE });
    }
    if (text === authority.stored()) return undefined;
    return new ClusterError("ca-store-changed", `the Secret ${CA_SECRET} was changed by somebody else`, {
      hint: RESTORE,
    });
  }

  async #create(authority: Authority): Promise<void> {
    const { client, namespace } = this.#options;
    const data = { [CA_KEY]: Buffer.from(authority.stored()).toString("base64") };
    const labels = { "app.kubernetes.io/part-of": "tulle" };
    await client.create(SECRETS, { metadata: { name: CA_SECRET, namespace, labels }, type: "Opaque", data });
  }

  /** The stored text; undefined when there is no Secret. A Secret without the key is a changed one. */
  async #read(): Promise<string | undefined> {
    const { client, namespace } = this.#options;
    let secret: Secret;
    try {
      secret = await client.get(SECRETS, { namespace, name: CA_SECRET });
    } catch (error) {
      if (isKubeError(error, "not-found")) return undefined;
      throw error;
    }
    return Buffer.from(secret.data?.[CA_KEY] ?? "", "base64").toString("utf8");
  }

  #restore(text: string): Authority {
    try {
      return Authority.restore(this.#options.authority, text);
    } catch (error) {
      if (!(error instanceof IdentityError)) throw error;
      throw new ClusterError("ca-store-changed", `the Secret ${CA_SECRET}: ${error.message}`, {
        hint: RESTORE,
        cause: error,
      });
    }
  }

  /** Whether an authority was published in the operator's own namespace. */
  async #publishedBundle(): Promise<boolean> {
    const { client, namespace } = this.#options;
    try {
      const { data } = await client.get(CONFIG_MAPS, { namespace, name: TRUST_BUNDLE_CONFIG_MAP });
      const pem = data?.[ROOT_CERTIFICATE_FILE];
      return pem !== undefined && TrustBundle.of(0, pemDecode("CERTIFICATE", pem)).roots.length > 0;
    } catch (error) {
      if (isKubeError(error, "not-found") || error instanceof IdentityError) return false;
      throw error;
    }
  }
}
