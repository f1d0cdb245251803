/**
 * `make fuzz`: searches each target, or the one of TARGET, for SECONDS each, from SEED on. What breaks is made small, written to
 * the target's seeds and ends the run with status 1. KEEP=1 keeps the inputs that reach new code as seeds, too.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { formatInput, readSeeds, type Seed, targetNames, writeSeeds } from "./seeds.ts";
import type { WorkerReport } from "./worker.ts";

/** One input must not take longer, ms; generous, because the machine may be busy. */
const HANG = 20_000;
const LOOK_EVERY = 500;
const BLACK_BOX_BYTES = 1 << 20;

const env = (name: string) => process.env[name] || undefined;
const seconds = Number(env("SECONDS") ?? 60);
const seed = Number(env("SEED") ?? Date.now() % 1_000_000_000);
const only = env("TARGET");
const names = only === undefined ? targetNames() : [only];
if (!(seconds > 0) || !Number.isSafeInteger(seed) || names.some((name) => !targetNames().includes(name))) {
  process.stderr.write(`fuzz: SECONDS above 0, SEED a whole number, TARGET one of ${targetNames().join(", ")}\n`);
  process.exit(2);
}
for (const name of names) if (!(await fuzz(name))) process.exitCode = 1;

async function fuzz(name: string): Promise<boolean> {
  const folder = mkdtempSync(join(tmpdir(), "tulle-fuzz-"));
  try {
    const blackBox = join(folder, "last-input");
    writeFileSync(blackBox, new Uint8Array(BLACK_BOX_BYTES));
    const worker = join(import.meta.dir, "worker.ts");
    const child = Bun.spawn([process.execPath, worker, name, String(seed), String(seconds), blackBox], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "inherit",
    });
    const hung = watch(child, blackBox);
    const output = await child.stdout.text();
    await child.exited;
    if (await hung) {
      return found(name, lastInput(blackBox) ?? new Uint8Array(0), `one input takes longer than ${HANG / 1000} s`);
    }
    const input = lastInput(blackBox);
    if (child.signalCode !== null && input !== undefined) return found(name, input, `killed by ${child.signalCode}`);
    if (child.exitCode !== 0) throw new Error(`the search of ${name} failed by itself`);
    return tell(name, JSON.parse(output) as WorkerReport);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Ends the worker when it stays at one input; tells whether it had to. */
async function watch(child: Bun.Subprocess, blackBox: string): Promise<boolean> {
  let runs = -1;
  let since = performance.now();
  while (child.exitCode === null && child.signalCode === null) {
    const now = readFileSync(blackBox).readUInt32LE(0);
    if (now !== runs) since = performance.now();
    runs = now;
    // Before the first input modules are loaded, and at the end what was found is made small: both are quick.
    if (performance.now() - since > HANG) {
      child.kill("SIGKILL");
      return true;
    }
    await Promise.race([child.exited, Bun.sleep(LOOK_EVERY)]);
  }
  return false;
}

/** Undefined before the first. */
function lastInput(blackBox: string): Uint8Array | undefined {
  const bytes = readFileSync(blackBox);
  if (bytes.readUInt32LE(0) === 0) return undefined;
  return bytes.subarray(8, 8 + bytes.readUInt32LE(4));
}

function tell(name: string, { runs, reached, corpus, broken }: WorkerReport): boolean {
  const known = readSeeds(name);
  process.stdout.write(
    `${name}: seed ${seed}, ${runs} inputs, ${corpus.length} keep ${reached.blocks} of ${reached.of} blocks reached\n`,
  );
  if (env("KEEP") !== undefined) {
    const once = known.filter((one) => one.why !== undefined);
    const inputs = corpus.map((text) => new Uint8Array(Buffer.from(text, "base64")));
    writeSeeds(name, [...once, ...inputs.filter((input) => !has(once, input)).map((input) => ({ input }))]);
  }
  if (broken === undefined) return true;
  process.stdout.write(`${broken.error}\n`);
  return found(name, Buffer.from(broken.input, "base64"), broken.message);
}

/** Writes down what broke; always false. */
function found(name: string, input: Uint8Array, what: string): false {
  const why = what.replace(/[^ -~]+/g, " ").slice(0, 150);
  const seeds = readSeeds(name);
  if (!has(seeds, input)) writeSeeds(name, [...seeds, { input, why }]);
  process.stdout.write(`${name}: seed ${seed} found: ${why}\n  ${formatInput(input).slice(0, 500)}\n`);
  process.stdout.write(`  kept in test/fuzz/seeds/${name}.seeds\n`);
  return false;
}

function has(seeds: readonly Seed[], input: Uint8Array): boolean {
  return seeds.some((seed) => Buffer.compare(seed.input, input) === 0);
}
