/** The other end of the control socket: what the commands use. */
import { existsSync } from "node:fs";
import type { MeshReport } from "../../status/index.ts";
import { LocalError } from "../errors.ts";
import { linesOf } from "../runner/events.ts";
import { liveRunner, type RunnerRecord, type StatePaths, statePaths } from "../state/directory.ts";
import {
  type ApplyAnswer,
  type ApplyRequest,
  type DeleteAnswer,
  type DeleteRequest,
  type ErrorAnswer,
  type ExecTarget,
  PATHS,
  type ReissueAnswer,
  type ReissueState,
  type Snapshot,
} from "./protocol.ts";

/** How long a play may take from its first sign of life to its control socket. */
const START_WAIT_MILLIS = 10_000;
const START_POLL_MILLIS = 50;

export class PlayClient {
  readonly record: RunnerRecord;
  readonly #paths: StatePaths;

  private constructor(paths: StatePaths, record: RunnerRecord) {
    this.#paths = paths;
    this.record = record;
  }

  /** Finds the running play; one that is starting is waited for. Throws LocalError `not-running` or `starting`. */
  static async find(
    env: Readonly<Record<string, string | undefined>>,
    options: { readonly wait: boolean } = { wait: true },
  ): Promise<PlayClient> {
    const paths = statePaths(env);
    for (const until = Date.now() + (options.wait ? START_WAIT_MILLIS : 0); ; await Bun.sleep(START_POLL_MILLIS)) {
      const record = liveRunner(paths);
      if (record === undefined) {
        throw new LocalError("not-running", "no play is running", { hint: "start one with `tulle play FILE`" });
      }
      if (existsSync(paths.socket)) return new PlayClient(paths, record);
      if (Date.now() >= until) {
        throw new LocalError("starting", `the play (process ${record.pid}) is still starting`, {
          hint: "try again, or end it with `tulle stop`",
        });
      }
    }
  }

  async snapshot(): Promise<Snapshot> {
    return (await (await this.#ask("GET", PATHS.snapshot)).json()) as Snapshot;
  }

  /** Of one namespace, or of all. Throws LocalError `not-found` for one that is not there. */
  async status(namespace: string | undefined): Promise<MeshReport> {
    return (await (await this.#ask("GET", `${PATHS.status}?${search({ namespace })}`)).json()) as MeshReport;
  }

  /** The snapshot now and after each change, until the caller stops. */
  async *watch(): AsyncGenerator<Snapshot> {
    for await (const line of linesOf(this.#stream(PATHS.watch))) yield JSON.parse(line) as Snapshot;
  }

  /** The bytes of a log; with `follow` from the container's start until its end. */
  logs(query: {
    readonly namespace: string;
    readonly pod: string;
    readonly container: string | undefined;
    readonly tail: number | undefined;
    readonly follow: boolean;
    readonly previous: boolean;
  }): AsyncGenerator<Uint8Array> {
    return this.#stream(`${PATHS.logs}?${search(query)}`);
  }

  async apply(request: ApplyRequest): Promise<ApplyAnswer> {
    return (await (await this.#ask("POST", PATHS.apply, request)).json()) as ApplyAnswer;
  }

  async delete(request: DeleteRequest): Promise<DeleteAnswer> {
    return (await (await this.#ask("POST", PATHS.delete, request)).json()) as DeleteAnswer;
  }

  async execTarget(namespace: string, pod: string, container: string | undefined): Promise<ExecTarget> {
    const answer = await this.#ask("GET", `${PATHS.execTarget}?${search({ namespace, pod, container })}`);
    return (await answer.json()) as ExecTarget;
  }

  async reissue(): Promise<ReissueAnswer> {
    return (await (await this.#ask("POST", PATHS.reissue)).json()) as ReissueAnswer;
  }

  async reissued(epoch: number): Promise<ReissueState> {
    return (await (await this.#ask("GET", `${PATHS.reissue}?${search({ epoch })}`)).json()) as ReissueState;
  }

  async stop(): Promise<void> {
    await this.#ask("POST", PATHS.stop);
  }

  /** An answer that may take as long as the play lives. */
  async *#stream(path: string): AsyncGenerator<Uint8Array> {
    const { body } = await this.#ask("GET", path);
    if (body === null) return;
    try {
      yield* body;
    } catch (cause) {
      const { pid } = this.record;
      const ended = liveRunner(this.#paths)?.pid !== pid;
      throw new LocalError(
        "broken-stream",
        ended ? "the play has ended" : `the connection to the running play (process ${pid}) broke`,
        { cause, ...(ended ? {} : { hint: "run the command again" }) },
      );
    }
  }

  async #ask(method: "GET" | "POST", path: string, body?: unknown): Promise<Response> {
    let answer: Response;
    try {
      answer = await fetch(`http://play${path}`, {
        method,
        unix: this.#paths.socket,
        // Bun gives up on a silent answer after five minutes.
        timeout: false,
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
    } catch (error) {
      throw new LocalError("no-answer", `the running play (process ${this.record.pid}) does not answer`, {
        hint: "end it with `tulle stop`",
        cause: error,
      });
    }
    if (answer.ok) return answer;
    const { error } = (await answer.json()) as ErrorAnswer;
    const hint = error.hint === undefined ? {} : { hint: error.hint };
    throw new LocalError(error.code, error.message, { ...hint, exitCode: error.exitCode });
  }
}

function search(values: Readonly<Record<string, string | number | boolean | undefined>>): string {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) if (value !== undefined) params.set(name, String(value));
  return params.toString();
}
