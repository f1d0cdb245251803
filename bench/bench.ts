/**
 * All pairs side by side, into bench/results. `make bench`; bench/README.md tells how it measures and what its variables choose.
 */
import { mkdirSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";
import { join } from "node:path";
import { ROOT, sh } from "../test/support/machine.ts";
import { Comparison } from "./comparison.ts";
import { type Options, readOptions } from "./options.ts";
import { direct } from "./pairs/direct.ts";
import { envoyHbone, envoyTcp } from "./pairs/envoy.ts";
import { ghostunnel } from "./pairs/ghostunnel.ts";
import { haproxy } from "./pairs/haproxy.ts";
import { nginx } from "./pairs/nginx.ts";
import type { Pair } from "./pairs/pair.ts";
import { whyMissing } from "./pairs/programs.ts";
import { tulle } from "./pairs/tulle.ts";
import { ztunnel } from "./pairs/ztunnel.ts";
import { renderMarkdown } from "./report/markdown.ts";
import type { Results } from "./report/results.ts";
import { renderSvg } from "./report/svg.ts";
import { Workspace } from "./workspace.ts";

const RESULTS = join(import.meta.dir, "results");
const PAIRS = [direct, tulle(), nginx, haproxy, ghostunnel, envoyHbone, envoyTcp, ztunnel] as const;
const LARGE_BYTES = 2 ** 30;

const say = (text: string) => process.stderr.write(`${new Date().toISOString().slice(11, 19)} ${text}\n`);

async function main(options: Options): Promise<void> {
  const profiles = join(RESULTS, "profiles");
  const chosen = PAIRS.filter(({ name }) => options.pairs.includes(name)).map((pair) =>
    pair.name === "tulle" && options.profile ? tulle({ profiles }) : pair,
  );
  const pairs = chosen.filter(isThere);
  const leftOut = chosen
    .filter((pair) => !pairs.includes(pair))
    .map((pair) => ({ name: pair.name, why: whyNot(pair) }));
  for (const { name, why } of leftOut) say(`${name} is left out: ${why}`);
  const started = new Date().toISOString();
  using workspace = await Workspace.open(LARGE_BYTES);
  const comparison = new Comparison({ ...options, pairs }, workspace, say);
  await comparison.run();
  await write(options.partial ? "partial" : "results", {
    started,
    commit: sh(["git", "-C", ROOT, "describe", "--always", "--dirty"]).stdout.trim(),
    machine: machine(),
    rounds: options.rounds,
    quietBelow: options.quietBelow,
    pairs: pairs.map((pair) => ({ name: pair.name, about: pair.about, version: versionOf(pair) })),
    leftOut,
    runs: comparison.runs,
    losses: comparison.losses,
  });
}

function isThere({ program }: Pair): boolean {
  return program === undefined || Bun.which(program) !== null;
}

function whyNot({ name, program = name }: Pair): string {
  return whyMissing(program.split("/").at(-1) ?? name) ?? `there is no program ${program}`;
}

/** The first line that its program prints of itself. */
function versionOf({ version }: Pair): string {
  if (version === undefined) return "";
  const { stdout, stderr } = sh(version);
  return (stdout.trim() || stderr.trim()).split("\n")[0] ?? "";
}

function machine(): Results["machine"] {
  return {
    processor: cpus()[0]?.model.trim() || "unknown processor",
    cores: cpus().length,
    memoryGigabytes: Math.round(totalmem() / 1e9),
    kernel: release(),
  };
}

async function write(name: string, results: Results): Promise<void> {
  mkdirSync(RESULTS, { recursive: true });
  await Bun.write(join(RESULTS, `${name}.json`), `${JSON.stringify(results, undefined, 1)}\n`);
  await Bun.write(join(RESULTS, `${name}.svg`), renderSvg(results));
  const text = renderMarkdown(results, `${name}.svg`);
  await Bun.write(join(RESULTS, `${name}.md`), text);
  process.stdout.write(text);
  say(`written: bench/results/${name}.json, .md and .svg`);
}

function optionsOrExit(): Options {
  try {
    return readOptions(
      process.env,
      PAIRS.map(({ name }) => name),
    );
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    process.stderr.write(`bench: ${error.message}\n`);
    process.exit(2);
  }
}

await main(optionsOrExit());
