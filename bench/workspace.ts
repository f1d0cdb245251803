/** What all pairs of one run share: a folder that goes with the run, certificates, and the file that bulk tests move. */
import { mkdirSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { OwnFolder } from "../test/support/own-folder.ts";
import { LARGE_FILE } from "./app.ts";
import { type Credentials, writeCredentials } from "./credentials.ts";
import type { Pair, Proxies } from "./pairs/pair.ts";
import { loadConnectionTracking, Stage } from "./stage.ts";

/** A pair that runs on its stage. Disposing of it ends both, with all namespaces. */
export interface Running extends Disposable {
  readonly pair: Pair;
  readonly stage: Stage;
  /** Undefined for no proxy. */
  readonly proxies: Proxies | undefined;
}

export class Workspace implements Disposable {
  /** What the application serves. */
  readonly files: string;
  readonly #folder = new OwnFolder("tulle-bench-");
  readonly #credentials: Credentials;

  private constructor(largeBytes: number) {
    this.files = join(this.#folder.path, "files");
    mkdirSync(this.files);
    writeFileSync(join(this.files, LARGE_FILE), "");
    // Sparse: it takes the page cache, not the disk.
    truncateSync(join(this.files, LARGE_FILE), largeBytes);
    this.#credentials = writeCredentials(this.#folder.path);
  }

  /** `largeBytes`: size of the file that bulk tests move. Throws without root. */
  static async open(largeBytes: number): Promise<Workspace> {
    await loadConnectionTracking();
    return new Workspace(largeBytes);
  }

  /** Throws when the application or one of the proxies does not start; nothing is left then. */
  async start(pair: Pair): Promise<Running> {
    const stage = await Stage.create(pair.name, this.#folder.path, this.files);
    try {
      const proxies = await pair.start(stage, this.#credentials);
      return { pair, stage, proxies, [Symbol.dispose]: () => stage[Symbol.dispose]() };
    } catch (error) {
      stage[Symbol.dispose]();
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.#folder[Symbol.dispose]();
  }
}
