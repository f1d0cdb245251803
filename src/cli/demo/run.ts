/** The demo's course: start, run the steps in order, sum up, take everything away again. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import manifest from "../../../examples/demo.yaml" with { type: "text" };
import { invokedAs } from "../self.ts";
import { pods, tulle } from "./mesh.ts";
import { bold, facts, type StepResult, say, stepEnd, stepTitle, table } from "./screen.ts";
import { type Scene, STEPS } from "./steps.ts";

/** Runs the demo; answers 0 only if every step held. */
export async function runDemo(options: { readonly keep: boolean }): Promise<number> {
  const started = performance.now();
  say(bold("Tulle demo: a mesh on this machine, every part real."));
  const folder = mkdtempSync(join(tmpdir(), "tulle-demo-"));
  let running = false;
  let interrupted = false;
  const interrupt = () => {
    interrupted = true;
  };
  process.on("SIGINT", interrupt);
  process.on("SIGTERM", interrupt);
  const results: StepResult[] = [];
  try {
    const file = join(folder, "demo.yaml");
    writeFileSync(file, manifest);
    const total = STEPS.length;
    stepTitle(0, total, "start: namespaces, containers, operator");
    const up = await tulle(["play", "--detach", "--egress", "none", file]);
    if (up.code !== 0) {
      process.stderr.write(up.stderr === "" ? up.stdout : up.stderr);
      return up.code === 2 ? 2 : 1;
    }
    running = true;
    const told = up.stdout.trimEnd().split("\n").slice(-16);
    facts(options.keep ? told : told.filter((line) => !line.startsWith("it goes on running")));
    const scene: Scene = { pods: await pods() };
    for (const [index, step] of STEPS.entries()) {
      if (interrupted) break;
      stepTitle(index + 1, total, step.title);
      const since = performance.now();
      let result: { held: boolean; fact: string; lines?: readonly string[] };
      try {
        result = await step.run(scene);
      } catch (error) {
        result = { held: false, fact: error instanceof Error ? error.message : String(error) };
      }
      facts(result.lines ?? []);
      stepEnd(result.held, result.fact, (performance.now() - since) / 1000);
      results.push({ title: step.title, held: result.held, fact: result.fact });
    }
    table(results);
    const held = results.length === total && results.every((result) => result.held);
    say(
      interrupted
        ? "Interrupted."
        : held
          ? bold(`Every step held, in ${((performance.now() - started) / 1000).toFixed(1)} s.`)
          : bold("Not every step held: see the table."),
    );
    if (options.keep && !interrupted) {
      running = false;
      say(kept(invokedAs()));
    }
    return held ? 0 : 1;
  } finally {
    process.off("SIGINT", interrupt);
    process.off("SIGTERM", interrupt);
    if (running) {
      const stopped = await tulle(["stop"]);
      if (stopped.code !== 0) process.stderr.write(stopped.stderr);
    }
    rmSync(folder, { recursive: true, force: true });
  }
}

const TRIES: readonly (readonly [words: string, what: string])[] = [
  ["get pods -A", "what runs"],
  ["exec -n demo client -- curl -s http://web", "a request through the mesh"],
  ["exec -n outside intruder -- curl -s http://web.demo", "refused: no identity"],
  ["logs -n demo client -c tulle-init", "the rules"],
  ["exec --node -- tcpdump -ni any port 15008", "what is on the wire"],
  ["stop", "take it all away"],
];

/** What to try while it runs, with the program as the reader calls it. */
function kept(program: string): string {
  const width = Math.max(...TRIES.map(([words]) => words.length));
  const lines = TRIES.map(([words, what]) => `  ${program} ${words.padEnd(width)}  ${what}`);
  return `\nIt is still running. Try:\n${lines.join("\n")}`;
}
