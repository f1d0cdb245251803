/** Runs the machine's tools (ip, iptables-restore, mount, crun) and turns a failure into a message. */
import { LocalError } from "../errors.ts";

export interface ToolResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Where the tools are, whatever PATH the user has (sbin is missing from it on some machines). */
export const TOOL_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** Runs a tool to its end; never throws for its exit code. 127 when there is no such tool. */
export async function tryTool(argv: readonly string[], input?: string): Promise<ToolResult> {
  let child: Bun.Subprocess<"ignore" | Uint8Array, "pipe", "pipe">;
  try {
    child = Bun.spawn([...argv], {
      env: { PATH: TOOL_PATH, LC_ALL: "C" },
      stdin: input === undefined ? "ignore" : new TextEncoder().encode(input),
      stdout: "pipe",
      stderr: "pipe",
    });
  } catch (error) {
    return { code: 127, stdout: "", stderr: error instanceof Error ? error.message : String(error) };
  }
  const [stdout, stderr, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { code, stdout, stderr };
}

/** Runs a tool that must succeed. Throws LocalError `tool-failed` with what it printed. */
export async function runTool(argv: readonly string[], input?: string): Promise<string> {
  const result = await tryTool(argv, input);
  if (result.code === 0) return result.stdout;
  const said = result.stderr.trim().split("\n").slice(-3).join("; ");
  throw new LocalError("tool-failed", `${argv.slice(0, 3).join(" ")} failed (exit ${result.code}): ${said}`);
}

/** Runs a shell script that must succeed: each line is a command, the first failure ends it. */
export function runScript(lines: readonly string[]): Promise<string> {
  return runTool(["sh", "-e"], `${lines.join("\n")}\n`);
}

/** Quotes a word for the shell. */
export function quote(word: string): string {
  return /^[A-Za-z0-9_@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
