/**
 * Searches one target in a process of its own: `worker.ts TARGET SEED SECONDS BLACK-BOX`. The black box is a file in memory that
 * holds how many inputs ran and the last one, so that an input which hangs or kills the process is not lost. Says on standard
 * output, as one line of JSON, what came out.
 */
import { join } from "node:path";
import { Coverage } from "./coverage.ts";
import { search } from "./search.ts";
import { readSeeds } from "./seeds.ts";
import type { Target } from "./target.ts";

const [name = "", seed = "", seconds = "", blackBox = ""] = process.argv.slice(2);
const box = Bun.mmap(blackBox, { shared: true });
const head = new Uint32Array(box.buffer, box.byteOffset, 2);
const coverage = new Coverage();
coverage.countBlocks(join(import.meta.dir, "../.."));
const { target } = (await import(`./targets/${name}.ts`)) as { readonly target: Target };
const end = performance.now() + Number(seconds) * 1000;
const { runs, corpus, broken } = search({
  target,
  seeds: readSeeds(name).map(({ input }) => input),
  coverage,
  seed: Number(seed),
  enough: () => performance.now() >= end,
  watch(input) {
    box.set(input.subarray(0, box.length - 8), 8);
    head[1] = input.length;
    head[0] = (head[0] as number) + 1;
  },
});
const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString("base64");
const report: WorkerReport = {
  runs,
  reached: coverage.reached,
  corpus: corpus.map(base64),
  broken:
    broken === undefined
      ? undefined
      : {
          input: base64(broken.input),
          error: broken.error.stack ?? String(broken.error),
          message: broken.error.message,
        },
};
process.stdout.write(`${JSON.stringify(report)}\n`);

export interface WorkerReport {
  readonly runs: number;
  readonly reached: { readonly blocks: number; readonly of: number };
  /** Base64. */
  readonly corpus: readonly string[];
  readonly broken: { readonly input: string; readonly error: string; readonly message: string } | undefined;
}
