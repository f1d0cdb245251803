/** The other end of the control socket: what the commands use. */
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

export class PlayClient {
  readonly record: RunnerRecord;
  readonly #paths: StatePaths;

  private constructor(paths: StatePaths, record: RunnerRecord) {
    this.#paths = paths;
    this.record = record;
  }

  /** Finds the running play. Throws LocalError `not-running`. */
  static find(env: Readonly<Record<string, string | undefined>>): PlayClient {
    const paths = statePaths(env);
    const record = liveRunner(paths);
    if (record === undefined) {
      throw new LocalError("not-running", "no play is running", { hint: "start one with `tulle play FILE`" });
    }
    return new PlayClient(paths, record);
  }

  async snapshot(): Promise<Snapshot> {
    return (await (await this.#ask("GET", PATHS.snapshot)).json()) as Snapshot;
  }

  /** The snapshot now and after each change, until the caller stops. */
  async *watch(): AsyncGenerator<Snapshot> {
    const answer = await this.#ask("GET", PATHS.watch);
    if (answer.body === null) return;
    for await (const line of linesOf(answer.body)) yield JSON.parse(line) as Snapshot;
  }

  /** The bytes of a log; with `follow` until the container ends. */
  async logs(query: {
    readonly namespace: string;
    readonly pod: string;
    readonly container: string | undefined;
    readonly tail: number | undefined;
    readonly follow: boolean;
    readonly previous: boolean;
  }): Promise<ReadableStream<Uint8Array> | undefined> {
    const answer = await this.#ask("GET", `${PATHS.logs}?${search(query)}`);
    return answer.body ?? undefined;
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

  async #ask(method: "GET" | "POST", path: string, body?: unknown): Promise<Response> {
    let answer: Response;
    try {
      answer = await fetch(`http://play${path}`, {
        method,
        unix: this.#paths.socket,
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
    } catch (error) {
      throw new LocalError("no-answer", `the running play (process ${this.record.pid}) does not answer`, {
        hint: "it may still be starting; end it with `tulle stop`",
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
