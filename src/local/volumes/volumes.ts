/** The volumes of one pod: made before its containers, kept current while it lives. */
import { chmodSync, chownSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Clock } from "../../mesh/index.ts";
import type { PodSpec, VolumeSpec } from "../kinds.ts";
import { writeAtomically } from "./atomic.ts";
import { type VolumeSources, volumeContent } from "./content.ts";

/** Part of a token's lifetime after which kubelet replaces it. */
const TOKEN_RENEWAL = 0.8;

export class PodVolumes implements Disposable {
  readonly #directory: string;
  readonly #spec: PodSpec;
  readonly #sources: VolumeSources;
  readonly #clock: Clock;
  readonly #shown = new Map<string, readonly string[]>();
  readonly #timers = new Map<string, Disposable>();
  #writing: Promise<void> = Promise.resolve();
  #over = false;

  /** `directory` is the pod's own in the node's tmpfs. */
  constructor(directory: string, spec: PodSpec, sources: VolumeSources, clock: Clock) {
    this.#directory = directory;
    this.#spec = spec;
    this.#sources = sources;
    this.#clock = clock;
  }

  /** Where a volume is in the node. */
  pathOf(name: string): string {
    return join(this.#directory, name);
  }

  /** Makes and fills them all. Throws LocalError `config-map-missing`. */
  async create(): Promise<void> {
    for (const volume of this.#spec.volumes ?? []) {
      const path = this.pathOf(volume.name);
      mkdirSync(path, { recursive: true });
      if (volume.emptyDir === undefined) await this.#fill(volume);
      else {
        const group = this.#spec.securityContext?.fsGroup;
        chmodSync(path, 0o777);
        if (group !== undefined) {
          chownSync(path, 0, group);
          chmodSync(path, 0o2777);
        }
      }
    }
  }

  /** A ConfigMap changed: the volumes that show it are written anew. What is missing now stays as it was. */
  configMapChanged(name: string): void {
    for (const volume of this.#spec.volumes ?? []) {
      if (this.#shown.get(volume.name)?.includes(name) === true) this.#refill(volume);
    }
  }

  [Symbol.dispose](): void {
    this.#over = true;
    for (const timer of this.#timers.values()) timer[Symbol.dispose]();
  }

  #refill(volume: VolumeSpec): void {
    this.#writing = this.#writing
      .then(() => (this.#over ? undefined : this.#fill(volume)))
      .catch(() => {
        // The old files stay; a later change or renewal tries again.
        if (!this.#over) this.#renewAfter(volume, 10_000);
      });
  }

  async #fill(volume: VolumeSpec): Promise<void> {
    const content = volumeContent(volume, this.#sources);
    if (content === undefined) return;
    const group = this.#spec.securityContext?.fsGroup;
    const files = content.files.map((file) => (group === undefined ? file : { ...file, gid: group }));
    await writeAtomically(this.pathOf(volume.name), files);
    this.#shown.set(volume.name, content.configMaps);
    if (content.tokenLifetime !== undefined) this.#renewAfter(volume, content.tokenLifetime * 1000 * TOKEN_RENEWAL);
  }

  #renewAfter(volume: VolumeSpec, millis: number): void {
    this.#timers.get(volume.name)?.[Symbol.dispose]();
    if (!this.#over)
      this.#timers.set(
        volume.name,
        this.#clock.after(millis, () => this.#refill(volume)),
      );
  }
}
