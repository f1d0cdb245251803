/** A state directory and manifests of one test's own, and the plays that it started: all gone at its end. */
import { afterEach, beforeEach, expect } from "bun:test";
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { machine, processes, type Ran, sh, TULLE, until } from "./machine.ts";
import { OwnFolder } from "./own-folder.ts";

export class PlayFolder implements AsyncDisposable {
  readonly #folder = new OwnFolder("tulle-play-");
  readonly path = this.#folder.path;
  readonly env = { ...process.env, TULLE_STATE_DIR: join(this.path, "state") } as Record<string, string>;
  readonly #running: Bun.Subprocess[] = [];

  /** Processes of its node. */
  processes(): string[] {
    return processes(this.env["TULLE_STATE_DIR"] ?? "");
  }

  /** Runs the binary to its end. */
  tulle(...args: readonly string[]): Ran {
    return sh([TULLE, ...args], { env: this.env });
  }

  /** Starts a play without a way out of the machine. */
  start(...args: readonly string[]): Bun.Subprocess<"ignore", "pipe", "pipe"> {
    const child = Bun.spawn([TULLE, "play", "--egress", "none", ...args], {
      env: this.env,
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    this.#running.push(child);
    return child;
  }

  /** A file with these objects (JSON is YAML), or with this text. */
  manifest(...objects: readonly (object | string)[]): string {
    const file = join(this.path, `manifest-${readdirSync(this.path).length}.yaml`);
    const documents = objects.map((object) => (typeof object === "string" ? object : JSON.stringify(object)));
    writeFileSync(file, documents.join("\n---\n"));
    return file;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#running) {
      child.kill("SIGKILL");
      await child.exited;
    }
    // One that was detached is no child.
    if (this.processes().length > 0) this.tulle("stop");
    await until("every process to be gone", () => this.processes().length === 0);
    this.#folder[Symbol.dispose]();
  }
}

/** Gives each test of a file a folder, after which the machine is as it was before, which `take` learns too. */
export function eachInFolder(take: (folder: PlayFolder, before: string) => void): void {
  let folder: PlayFolder;
  let before = "";
  beforeEach(() => {
    before = machine();
    folder = new PlayFolder();
    take(folder, before);
  });
  afterEach(async () => {
    await folder[Symbol.asyncDispose]();
    expect(machine()).toBe(before);
  });
}

/** A pod with one container. */
export function simplePod(name: string, command: readonly string[], more: object = {}): object {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, labels: { app: name } },
    spec: { containers: [{ name: "app", image: "debian", command, ...more }] },
  };
}
