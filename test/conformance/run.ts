/** `make conformance`: runs h2spec on each target, writes docs/conformance.md, and fails when the deviations are others. */
import { join } from "node:path";
import { page, type Results, unexplained } from "./page.ts";
import { type Case, readCases } from "./results.ts";
import { echoServer, type Target, tunnelPort } from "./servers.ts";

const ROOT = join(import.meta.dir, "../..");
/** Seconds that h2spec waits for an answer. */
const PATIENCE = "3";
/** h2specd listens on one port a case from here on. */
const CLIENT_PORTS = 30_000;

async function run(program: string, ...args: readonly string[]): Promise<readonly Case[]> {
  const child = Bun.spawn([join(ROOT, ".cache/h2spec", program), "--strict", "--timeout", PATIENCE, ...args], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "inherit",
  });
  const output = await child.stdout.text();
  await child.exited;
  return readCases(output);
}

async function judge(name: string, start: () => Promise<Target>): Promise<readonly Case[]> {
  process.stdout.write(`${name}…\n`);
  await using target = await start();
  return await run("h2spec", "--port", String(target.port));
}

const client = `${process.execPath} ${join(import.meta.dir, "client.ts")}`;
const results: Results = {
  echo: await judge("echo server", echoServer),
  tunnel: await judge("tunnel port", tunnelPort),
  client: await run("h2specd", "--from-port", String(CLIENT_PORTS), "--exec", client),
};
const wrong = unexplained(results);
for (const line of wrong) process.stdout.write(`${line}\n`);
if (wrong.length === 0) {
  await Bun.write(join(ROOT, "docs/conformance.md"), page(results));
  process.stdout.write("every deviation is explained in docs/conformance.md\n");
}
process.exitCode = wrong.length === 0 ? 0 : 1;
