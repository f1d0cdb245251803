/**
 * Keeps the webhook's `caBundle` equal to the mesh's trust bundle, by server-side apply of that one field: whoever installs
 * the configuration need not know it. The leader's work.
 */
import { type KubeClient, Reflector } from "../../kube/index.ts";
import {
  type Clock,
  type Logger,
  MemoryStore,
  type Millis,
  OPERATOR_FIELD_MANAGER,
  type Random,
} from "../../mesh/index.ts";
import { MUTATING_WEBHOOKS, type MutatingWebhookConfiguration } from "../resources.ts";

export interface CaBundleOptions {
  readonly client: KubeClient;
  /** Name of the MutatingWebhookConfiguration. */
  readonly name: string;
  readonly pem: () => string;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

const AGAIN_AFTER: Millis = 2_000;

export class CaBundleKeeper implements Disposable {
  readonly #options: CaBundleOptions;
  readonly #found = new MemoryStore<MutatingWebhookConfiguration>();
  readonly #reflector: Reflector<MutatingWebhookConfiguration, MutatingWebhookConfiguration>;
  #writing = false;
  /** Something changed during a write: it is to be looked at again. */
  #missed = false;
  #again: Disposable | undefined;
  #closed = false;

  constructor(options: CaBundleOptions) {
    this.#options = options;
    this.#found.follow(() => this.changed());
    this.#reflector = new Reflector({
      ...options,
      resource: MUTATING_WEBHOOKS,
      fieldSelector: `metadata.name=${options.name}`,
      keep: (configuration) => configuration,
      sink: this.#found,
    });
  }

  /** True when every webhook of the configuration has the bundle. */
  get current(): boolean {
    const configuration = this.#found.get(this.#options.name);
    return configuration !== undefined && this.#outdated(configuration).length === 0;
  }

  /** The bundle or the configuration is another one now. */
  changed(): void {
    if (this.#closed) return;
    if (this.#writing) {
      this.#missed = true;
      return;
    }
    const configuration = this.#found.get(this.#options.name);
    if (configuration === undefined || this.#outdated(configuration).length === 0) return;
    this.#writing = true;
    this.#missed = false;
    void this.#write(configuration).finally(() => {
      this.#writing = false;
      if (this.#missed) this.changed();
    });
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    this.#again?.[Symbol.dispose]();
    this.#reflector[Symbol.dispose]();
  }

  #outdated(configuration: MutatingWebhookConfiguration): readonly string[] {
    const wanted = this.#encoded();
    return (configuration.webhooks ?? []).filter((one) => one.clientConfig.caBundle !== wanted).map((one) => one.name);
  }

  #encoded(): string {
    return Buffer.from(this.#options.pem()).toString("base64");
  }

  async #write(configuration: MutatingWebhookConfiguration): Promise<void> {
    const { client, name, logger, clock } = this.#options;
    const caBundle = this.#encoded();
    const webhooks = (configuration.webhooks ?? []).map((one) => ({ name: one.name, clientConfig: { caBundle } }));
    try {
      await client.apply(
        MUTATING_WEBHOOKS,
        { metadata: { name }, webhooks },
        { fieldManager: OPERATOR_FIELD_MANAGER, force: true },
      );
      logger.log("info", "the webhook trusts the mesh's bundle", { configuration: name });
    } catch (error) {
      logger.log("warn", "the webhook's caBundle was not written", { configuration: name, error: String(error) });
      this.#again?.[Symbol.dispose]();
      this.#again = clock.after(AGAIN_AFTER, () => this.changed());
    }
  }
}
