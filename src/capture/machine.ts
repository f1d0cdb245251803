/** The machine as this room sees it: programs to run and files of /proc to read. */
import { readFileSync } from "node:fs";

export interface ProgramResult {
  /** Exit status; 128 and more for a signal. */
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Machine {
  /** Full path of a program in PATH, or undefined. */
  which(program: string): string | undefined;
  /** Runs a program to its end with this standard input and these variables beside the process's own. */
  run(
    program: string,
    args: readonly string[],
    options?: { readonly input?: string; readonly variables?: Readonly<Record<string, string>> },
  ): Promise<ProgramResult>;
  /** The text of a file, or undefined when it is missing or may not be read. */
  read(path: string): string | undefined;
}

/** A program that hangs (not one that waits for the lock: that takes 30 s) is ended after this time. */
const PROGRAM_TIMEOUT = 60_000;

/** This machine, in the network namespace of this process. */
export const linuxMachine: Machine = {
  which: (program) => Bun.which(program) ?? undefined,

  async run(program, args, options = {}) {
    const child = Bun.spawn([program, ...args], {
      stdin: Buffer.from(options.input ?? ""),
      stdout: "pipe",
      stderr: "pipe",
      // Messages are matched, so they must not be translated.
      env: { ...process.env, LC_ALL: "C", ...options.variables },
      timeout: PROGRAM_TIMEOUT,
      killSignal: "SIGKILL",
    });
    const [stdout, stderr, status] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
    return child.signalCode === "SIGKILL"
      ? { status, stdout, stderr: `${stderr}\nended after ${PROGRAM_TIMEOUT / 1000} s without an answer` }
      : { status, stdout, stderr };
  },

  read(path) {
    try {
      return readFileSync(path, "utf8");
    } catch {
      return undefined;
    }
  },
};
