/**
 * The bootstrap trust bundle as a ConfigMap in every namespace: made when the namespace is, put right when somebody changes
 * it. The leader's work.
 */
import { isKubeError, type KubeClient, Reflector } from "../../kube/index.ts";
import {
  type Clock,
  type Logger,
  MemoryStore,
  type Millis,
  OPERATOR_FIELD_MANAGER,
  objectKey,
  type Random,
  ROOT_CERTIFICATE_FILE,
  type Store,
  TRUST_BUNDLE_CONFIG_MAP,
} from "../../mesh/index.ts";
import { CONFIG_MAPS, type ConfigMap } from "../resources.ts";

export interface BundlePublisherOptions {
  readonly client: KubeClient;
  readonly namespaces: Store<unknown>;
  readonly pem: () => string;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

/** Namespaces that are written at a time. */
const PARALLEL = 8;
const AGAIN_AFTER: Millis = 5_000;

export class BundlePublisher implements Disposable {
  readonly #options: BundlePublisherOptions;
  /** What each namespace holds now; its ConfigMap's bundle, or undefined without one. Key: `namespace/name`. */
  readonly #published = new MemoryStore<string>();
  readonly #reflector: Reflector<ConfigMap, string>;
  readonly #following: Disposable[];
  readonly #wanted = new Set<string>();
  #workers = 0;
  #timer: Disposable | undefined;
  #closed = false;

  constructor(options: BundlePublisherOptions) {
    this.#options = options;
    this.#reflector = new Reflector({
      ...options,
      resource: CONFIG_MAPS,
      fieldSelector: `metadata.name=${TRUST_BUNDLE_CONFIG_MAP}`,
      keep: (map) => map.data?.[ROOT_CERTIFICATE_FILE] ?? "",
      sink: this.#published,
    });
    this.#following = [
      options.namespaces.follow(({ key }) => this.#want(key)),
      this.#published.follow(({ key }) => this.#want(key.slice(0, key.indexOf("/")))),
    ];
    void this.#reflector.synced.then(() => this.changed()).catch(() => undefined);
  }

  /** The bundle is another one now. */
  changed(): void {
    for (const namespace of this.#options.namespaces.keys()) this.#want(namespace);
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    this.#timer?.[Symbol.dispose]();
    this.#reflector[Symbol.dispose]();
    for (const following of this.#following) following[Symbol.dispose]();
  }

  #want(namespace: string): void {
    this.#wanted.add(namespace);
    if (this.#closed || this.#workers >= PARALLEL) return;
    this.#workers++;
    queueMicrotask(() => void this.#work());
  }

  /** One worker: ends in the very step in which it finds nothing wanted, so that nothing wanted later is left to nobody. */
  async #work(): Promise<void> {
    for (;;) {
      const [namespace] = this.#wanted;
      if (namespace === undefined || this.#closed) break;
      this.#wanted.delete(namespace);
      if (!(await this.#write(namespace))) this.#again();
    }
    this.#workers--;
  }

  #again(): void {
    if (this.#closed) return;
    this.#timer?.[Symbol.dispose]();
    this.#timer = this.#options.clock.after(AGAIN_AFTER, () => this.changed());
  }

  /** False when it has to be tried again. */
  async #write(namespace: string): Promise<boolean> {
    const { client, namespaces, pem, logger } = this.#options;
    const text = pem();
    if (namespaces.get(namespace) === undefined) return true;
    if (this.#published.get(objectKey(namespace, TRUST_BUNDLE_CONFIG_MAP)) === text) return true;
    const metadata = { namespace, name: TRUST_BUNDLE_CONFIG_MAP, labels: { "app.kubernetes.io/part-of": "tulle" } };
    try {
      const map = { metadata, data: { [ROOT_CERTIFICATE_FILE]: text } };
      await client.apply(CONFIG_MAPS, map, { fieldManager: OPERATOR_FIELD_MANAGER, force: true });
      return true;
    } catch (error) {
      // A namespace that is going away takes nothing new.
      if (isKubeError(error, "not-found", "forbidden") && namespaces.get(namespace) === undefined) return true;
      if (isKubeError(error, "forbidden") && /being terminated/.test(error.message)) return true;
      logger.log("warn", "the trust bundle was not published", { namespace, error: String(error) });
      return false;
    }
  }
}
