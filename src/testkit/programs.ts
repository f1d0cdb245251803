/** A machine without programs of its own: each is a function, each file a text. For the programs that capture runs. */
import type { Machine, ProgramResult } from "../capture/index.ts";

export type FakeProgram = (args: readonly string[], input: string) => Partial<ProgramResult>;

export interface ProgramCall {
  readonly program: string;
  readonly args: readonly string[];
  readonly input: string;
}

export class FakeMachine implements Machine {
  /** Every call so far, `--version` included. */
  readonly calls: ProgramCall[] = [];
  readonly #programs: Readonly<Record<string, FakeProgram>>;
  readonly #files: Readonly<Record<string, string>>;

  constructor(programs: Readonly<Record<string, FakeProgram>>, files: Readonly<Record<string, string>> = {}) {
    this.#programs = programs;
    this.#files = files;
  }

  which(program: string): string | undefined {
    return Object.hasOwn(this.#programs, program) ? program : undefined;
  }

  async run(
    program: string,
    args: readonly string[],
    options: { readonly input?: string } = {},
  ): Promise<ProgramResult> {
    const input = options.input ?? "";
    this.calls.push({ program, args, input });
    return { status: 0, stdout: "", stderr: "", ...this.#programs[program]?.(args, input) };
  }

  read(path: string): string | undefined {
    return this.#files[path];
  }
}
