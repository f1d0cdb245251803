/**
 * Runs `bun test` over the given folders or files, one process each, and ends with `N passed, N failed` over all of them.
 * A process that ends without having run a test, or is killed, counts as a failure. Told to end, it ends the one that runs.
 */
import { existsSync } from "node:fs";

let passed = 0;
let failed = 0;
let running: Bun.Subprocess | undefined;
let ended = false;
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.on(signal, () => {
    ended = true;
    running?.kill("SIGTERM");
  });
}
for (const folder of process.argv.slice(2)) {
  if (ended) break;
  if (!existsSync(folder)) {
    process.stdout.write(`no such file or folder: ${folder}\n`);
    failed += 1;
    continue;
  }
  process.stdout.write(`\n== ${folder}\n`);
  const child = Bun.spawn([process.execPath, "test", "--timeout", "120000", `./${folder}`], {
    stdin: "ignore",
    stdout: "inherit",
    stderr: "pipe",
  });
  running = child;
  let tail = "";
  for await (const chunk of child.stderr.pipeThrough(new TextDecoderStream())) {
    process.stderr.write(chunk);
    tail = (tail + chunk).slice(-4000);
  }
  const code = await child.exited;
  const pass = Number(/^\s*(\d+) pass$/m.exec(tail)?.[1] ?? 0);
  const fail = Number(/^\s*(\d+) fail$/m.exec(tail)?.[1] ?? 0);
  passed += pass;
  failed += fail;
  if (fail === 0 && (code !== 0 || pass === 0 || ended)) failed += 1;
}
process.stdout.write(`\n${passed} passed, ${failed} failed\n`);
process.exitCode = failed === 0 ? 0 : 1;
