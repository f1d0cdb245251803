/** Folders that go with the test process which made them, however that ends, and what runs by them too. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/**
 * Waits for the end of the pipe that the test process holds. If the folder is still there by then, ends every process that has
 * its path in a variable and removes it. What a play has made goes with its process; that may take a moment.
 */
const KEEPER = `
cat >/dev/null
for _ in $(seq 100); do
  [ -d "$1" ] || exit 0
  pids=$(grep -lsF "=$1" /proc/[0-9]*/environ | cut -d/ -f3)
  if [ -n "$pids" ]; then kill -KILL $pids; else rm -rf --one-file-system "$1"; fi
  sleep 0.1
done`;

export class OwnFolder implements Disposable {
  readonly path: string;
  readonly #keeper: Bun.Subprocess<"pipe", "ignore", "ignore">;

  /** `prefix` makes its name readable. */
  constructor(prefix: string) {
    this.path = mkdtempSync(join(tmpdir(), prefix));
    // In a session of its own it outlives Ctrl-C.
    this.#keeper = Bun.spawn(["setsid", "sh", "-c", KEEPER, "keeper", this.path], {
      stdin: "pipe",
      stdout: "ignore",
      stderr: "ignore",
    });
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
    this.#keeper.stdin.end();
  }
}
