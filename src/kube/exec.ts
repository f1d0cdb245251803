/** Runs a command in a container, through the official library (whose exec works under Bun, unlike its other calls). */
import { Readable, Writable } from "node:stream";
import type { Clock, Millis } from "../mesh/index.ts";
import type { Connection } from "./connection.ts";
import { Deadline } from "./deadline.ts";
import { KubeError } from "./errors.ts";
import { errorFromStatus, type Status } from "./status.ts";
import { failure } from "./transport.ts";

export interface ExecRequest {
  readonly namespace: string;
  readonly pod: string;
  readonly container: string;
  readonly command: readonly string[];
  readonly stdin?: Uint8Array;
  /** Default 30 s. */
  readonly timeout?: Millis;
  /** Most bytes of stdout and of stderr each; default 16 MiB. More is `exec-failed`. */
  readonly maxOutput?: number;
  readonly signal?: AbortSignal;
}

export interface ExecResult {
  readonly exitCode: number;
  readonly stdout: Buffer;
  readonly stderr: Buffer;
}

const MAX_OUTPUT = 16 * 1024 * 1024;
const TIMEOUT: Millis = 30_000;

/** Any exit code is a result; throws `KubeError` when the command could not be run or its end not be learnt. */
export async function execInPod(connection: Connection, clock: Clock, request: ExecRequest): Promise<ExecResult> {
  const { namespace, pod, container } = request;
  const what = `run ${request.command[0] ?? "nothing"} in ${namespace}/${pod}/${container}`;
  const deadline = new Deadline(clock, request.timeout ?? TIMEOUT, request.signal);
  try {
    return await run(connection, request, what, deadline.signal);
  } catch (error) {
    throw failure({ what }, deadline, error);
  } finally {
    deadline[Symbol.dispose]();
  }
}

async function run(
  connection: Connection,
  request: ExecRequest,
  what: string,
  signal: AbortSignal,
): Promise<ExecResult> {
  const config = await connection.library();
  const { Exec } = await import("@kubernetes/client-node");
  const { promise, resolve, reject } = Promise.withResolvers<Status>();
  promise.catch(() => {});
  const max = request.maxOutput ?? MAX_OUTPUT;
  const tooMuch = () => reject(new KubeError("exec-failed", `cannot ${what}: it printed more than ${max} bytes`));
  const stdout = new Collector(max, tooMuch);
  const stderr = new Collector(max, tooMuch);
  const stdin = request.stdin === undefined ? null : Readable.from([Buffer.from(request.stdin)]);
  const onAbort = () => reject(signal.reason);
  if (signal.aborted) onAbort();
  else signal.addEventListener("abort", onAbort, { once: true });
  const exec = new Exec(config);
  const opening = exec.exec(
    request.namespace,
    request.pod,
    request.container,
    [...request.command],
    stdout,
    stderr,
    stdin,
    false,
    (status) => resolve(status as Status),
  );
  try {
    const socket = await Promise.race([opening, promise.then(() => opening)]);
    socket.onclose = () =>
      reject(new KubeError("unreachable", `cannot ${what}: the connection ended before the command`));
    return { exitCode: exitCodeOf(await promise, what), stdout: stdout.whole(), stderr: stderr.whole() };
  } catch (error) {
    throw refusedUpgrade(error, what) ?? error;
  } finally {
    signal.removeEventListener("abort", onAbort);
    opening.then((socket) => socket.close()).catch(() => {});
  }
}

/** https://github.com/kubernetes/apimachinery: the status of remotecommand, exit code among its causes. */
function exitCodeOf(status: Status, what: string): number {
  if (status.status === "Success") return 0;
  const cause = status.details?.causes?.find(({ reason }) => reason === "ExitCode");
  const code = Number(cause?.message);
  if (status.reason === "NonZeroExitCode" && Number.isInteger(code)) return code;
  throw new KubeError("exec-failed", `cannot ${what}: ${status.message ?? "the container runtime refused it"}`);
}

/** The WebSocket's error event says no more than the HTTP status of the refused upgrade. */
export function refusedUpgrade(error: unknown, what: string): KubeError | undefined {
  if (error instanceof KubeError || typeof error !== "object" || error === null || !("message" in error))
    return undefined;
  const status = /(?:Unexpected server response:|Expected 101 status code but got) ?(\d{3})?/.exec(
    String(error.message),
  );
  return status?.[1] === undefined ? undefined : errorFromStatus(what, Number(status[1]), {});
}

class Collector extends Writable {
  readonly #chunks: Buffer[] = [];
  #size = 0;

  constructor(max: number, tooMuch: () => void) {
    super({
      write: (chunk: Buffer, _encoding, done) => {
        this.#size += chunk.length;
        if (this.#size > max) tooMuch();
        else this.#chunks.push(chunk);
        done();
      },
    });
  }

  whole(): Buffer {
    return Buffer.concat(this.#chunks);
  }
}
