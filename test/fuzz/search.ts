/** The search: changes inputs, keeps what reaches something new, ends at the first input that breaks a promise. */
import type { Coverage } from "./coverage.ts";
import { Dice } from "./dice.ts";
import { minimise } from "./minimise.ts";
import { mutateBytes } from "./mutate.ts";
import { Broken, type Target } from "./target.ts";

export interface SearchOptions {
  readonly target: Target;
  readonly seeds: readonly Uint8Array[];
  readonly coverage: Coverage;
  readonly seed: number;
  /** True when it is time to stop; asked now and then. */
  readonly enough: () => boolean;
  /** Told each input before it runs. */
  readonly watch: (input: Uint8Array) => void;
}

export interface SearchResult {
  readonly runs: number;
  /** Inputs that reach every block that was reached; the shortest first. */
  readonly corpus: readonly Uint8Array[];
  /** What broke, made as small as it goes. */
  readonly broken: { readonly input: Uint8Array; readonly error: Error } | undefined;
}

const LONGEST = 4096;
/** Changes to one input before it runs. */
const MOST_CHANGES = 5;
/** Between two looks at the time and the memory. */
const LOOK_EVERY = 100;
/** What one input may cost, in blocks: far above what is linear, far below what is not. */
const WORK = { least: 500_000, perByte: 5_000 };
/** Bytes of resident memory. */
const MOST_MEMORY = 2 * 1024 ** 3;

export function search(options: SearchOptions): SearchResult {
  const { target, coverage, watch } = options;
  const dice = new Dice(options.seed);
  const longest = target.longest ?? LONGEST;
  const corpus: Uint8Array[] = [];
  let runs = 0;

  const run = (input: Uint8Array): Error | undefined => {
    runs++;
    watch(input);
    coverage.clear();
    try {
      target.run(input);
    } catch (error) {
      return error instanceof Error ? error : new Broken(`threw ${String(error)}`);
    }
    const work = coverage.work;
    if (work <= WORK.least + input.length * WORK.perByte) return undefined;
    return new Broken(`${work} blocks of code ran for ${input.length} bytes`);
  };
  const ended = (broken: SearchResult["broken"]): SearchResult => ({
    runs,
    corpus: cover(corpus, run, coverage),
    broken,
  });
  const failed = (input: Uint8Array, error: Error) => ended({ input: minimise(input, error, run), error });

  // Copies: a Buffer shares its memory with its slices.
  for (const input of [...options.seeds, ...target.examples].map((given) => new Uint8Array(given))) {
    const error = run(input);
    if (error !== undefined) return failed(input, error);
    if (coverage.learn() || corpus.length === 0) corpus.push(input);
  }
  if (corpus.length === 0) corpus.push(new Uint8Array(0));
  while (runs % LOOK_EVERY !== 0 || !options.enough()) {
    // What was found last is where news is likeliest.
    const from = dice.once(2) ? dice.below(corpus.length) : corpus.length - 1 - dice.below(Math.min(corpus.length, 16));
    let input = corpus[from] as Uint8Array;
    for (let changes = 1 + dice.below(MOST_CHANGES); changes > 0; changes--) {
      input =
        target.mutate === undefined || dice.once(3)
          ? mutateBytes(input, dice, target.tokens, corpus)
          : target.mutate(input, dice);
    }
    if (input.length > longest) input = input.slice(0, longest);
    const error = run(input);
    if (error !== undefined) return failed(input, error);
    if (coverage.learn()) corpus.push(input);
    if (runs % LOOK_EVERY === 0 && process.memoryUsage.rss() > MOST_MEMORY) {
      return ended({ input, error: new Broken("the process holds more than 2 GiB of memory") });
    }
  }
  return ended(undefined);
}

/** Short inputs that together reach all that the corpus reaches. */
function cover(
  corpus: readonly Uint8Array[],
  run: (input: Uint8Array) => Error | undefined,
  coverage: Coverage,
): readonly Uint8Array[] {
  const reached = new Set<number>();
  return [...corpus]
    .sort((one, other) => one.length - other.length)
    .filter((input) => {
      if (run(input) !== undefined) return false;
      const before = reached.size;
      for (const block of coverage.ran()) reached.add(block);
      return reached.size > before;
    });
}
