/**
 * The kept inputs of a target: a text file, one input a line, in quotes, bytes that are not printable as `\xNN`. A comment above
 * an input says what it once broke; those are never thrown away.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const FOLDER = join(import.meta.dir, "seeds");

export interface Seed {
  readonly input: Uint8Array;
  /** What it broke when it was found. */
  readonly why?: string;
}

/** Names of all targets. */
export function targetNames(): readonly string[] {
  const files = readdirSync(join(import.meta.dir, "targets"));
  return files.map((file) => file.replace(/\.ts$/, "")).sort();
}

export function readSeeds(target: string): readonly Seed[] {
  const path = join(FOLDER, `${target}.seeds`);
  return existsSync(path) ? parseSeeds(readFileSync(path, "latin1")) : [];
}

export function writeSeeds(target: string, seeds: readonly Seed[]): void {
  writeFileSync(join(FOLDER, `${target}.seeds`), formatSeeds(seeds), "latin1");
}

/** Throws on a line that is neither a comment nor an input. */
export function parseSeeds(text: string): readonly Seed[] {
  const seeds: Seed[] = [];
  let why: string | undefined;
  for (const line of text.split("\n")) {
    if (line.startsWith("# ")) why = line.slice(2);
    else if (line !== "") {
      seeds.push({ input: parseInput(line), ...(why === undefined ? {} : { why }) });
      why = undefined;
    }
  }
  return seeds;
}

export function formatSeeds(seeds: readonly Seed[]): string {
  return seeds.map(({ input, why }) => `${why === undefined ? "" : `# ${why}\n`}${formatInput(input)}\n`).join("");
}

export function formatInput(input: Uint8Array): string {
  let text = "";
  for (const byte of input) {
    if (byte === 0x0a) text += "\\n";
    else if (byte === 0x22 || byte === 0x5c) text += `\\${String.fromCharCode(byte)}`;
    else if (byte >= 0x20 && byte < 0x7f) text += String.fromCharCode(byte);
    else text += `\\x${byte.toString(16).padStart(2, "0")}`;
  }
  return `"${text}"`;
}

function parseInput(line: string): Uint8Array {
  if (!/^"(?:[ !#-[\]-~]|\\["\\n]|\\x[0-9a-f]{2})*"$/.test(line)) throw new Error(`not a kept input: ${line}`);
  const text = line
    .slice(1, -1)
    .replace(/\\(?:x(..)|(.))/g, (_, hex: string | undefined, one: string) =>
      hex === undefined ? (one === "n" ? "\n" : one) : String.fromCharCode(Number.parseInt(hex, 16)),
    );
  return new Uint8Array(Buffer.from(text, "latin1"));
}
