/** The control socket of a running play: HTTP on a unix socket of mode 0600, so only the user who runs it may speak. */
import { chmodSync } from "node:fs";
import { TulleError } from "../../mesh/index.ts";
import type { MeshReport } from "../../status/index.ts";
import type { ContainerLog } from "../container/log.ts";
import { LocalError } from "../errors.ts";
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

/** What the socket offers. */
export interface ControlHandler {
  snapshot(): Snapshot;
  /** Who is in the mesh and who is not, of one namespace or of all. Throws LocalError `not-found`. */
  status(namespace: string | undefined): MeshReport;
  /** Calls after each change; disposing ends it. */
  follow(changed: () => void): Disposable;
  /** Throws LocalError, `not-started` while there is no log yet. */
  log(namespace: string, pod: string, container: string | undefined, previous: boolean): ContainerLog;
  apply(request: ApplyRequest): Promise<ApplyAnswer>;
  delete(request: DeleteRequest): Promise<DeleteAnswer>;
  execTarget(namespace: string, pod: string, container: string | undefined): ExecTarget;
  /** Makes every proxy ask for a new certificate. */
  reissue(): ReissueAnswer;
  reissued(epoch: number): ReissueState;
  stop(): void;
}

const LAST_ANSWERS_MILLIS = 100;

/**
 * Followed logs may be silent for as long as they like. `timeout(request, 0)` does not hold on a unix socket, and Bun's types
 * do not know that this option does.
 */
const SILENCE_IS_FINE: object = { idleTimeout: 0 };

/** Code of the LocalError for the log of a container that has not been started yet. */
export const NOT_STARTED = "not-started";

/** Serves until disposed. Throws LocalError `control-socket`. */
export function startControlServer(path: string, handler: ControlHandler): AsyncDisposable {
  let server: Bun.Server<undefined>;
  try {
    server = Bun.serve({
      unix: path,
      ...SILENCE_IS_FINE,
      fetch: async (request) => {
        try {
          return await route(request, handler);
        } catch (error) {
          return errorAnswer(error);
        }
      },
    });
    chmodSync(path, 0o600);
  } catch (error) {
    throw new LocalError("control-socket", `the control socket cannot be made: ${String(error)}`, { cause: error });
  }
  return {
    [Symbol.asyncDispose]: async () => {
      // The answer to whoever asked for the end is still on its way; logs that are followed would never end.
      await Promise.race([server.stop(), Bun.sleep(LAST_ANSWERS_MILLIS)]);
      await server.stop(true);
    },
  };
}

async function route(request: Request, handler: ControlHandler): Promise<Response> {
  const { pathname, searchParams } = new URL(request.url);
  const namespace = searchParams.get("namespace") ?? "default";
  const pod = searchParams.get("pod") ?? "";
  const container = searchParams.get("container") ?? undefined;
  switch (`${request.method} ${pathname}`) {
    case `GET ${PATHS.snapshot}`:
      return Response.json(handler.snapshot());
    case `GET ${PATHS.status}`:
      return Response.json(handler.status(searchParams.get("namespace") ?? undefined));
    case `GET ${PATHS.watch}`:
      return watch(handler, request.signal);
    case `GET ${PATHS.logs}`: {
      const log = () => handler.log(namespace, pod, container, searchParams.get("previous") === "true");
      const tail = searchParams.get("tail");
      const lines = tail === null ? undefined : Number(tail);
      if (searchParams.get("follow") !== "true") return new Response(bytes(log(), lines));
      return follow(await onceStarted(log, handler, request.signal), lines, request.signal);
    }
    case `POST ${PATHS.apply}`:
      return Response.json(await handler.apply((await request.json()) as ApplyRequest));
    case `POST ${PATHS.delete}`:
      return Response.json(await handler.delete((await request.json()) as DeleteRequest));
    case `GET ${PATHS.execTarget}`:
      return Response.json(handler.execTarget(namespace, pod, container));
    case `POST ${PATHS.reissue}`:
      return Response.json(handler.reissue());
    case `GET ${PATHS.reissue}`:
      return Response.json(handler.reissued(Number(searchParams.get("epoch") ?? 0)));
    case `POST ${PATHS.stop}`:
      handler.stop();
      return Response.json({});
    default:
      throw new LocalError("unknown-request", `the running play does not know ${request.method} ${pathname}`, {
        hint: "it is of another version: stop it with `tulle stop` and start it again",
      });
  }
}

function bytes(log: ContainerLog, lines: number | undefined): Uint8Array<ArrayBuffer> {
  return new Uint8Array(log.read(lines));
}

/** The log, at the latest when its container starts. Throws what `ask` throws for any other reason, also meanwhile. */
async function onceStarted(
  ask: () => ContainerLog,
  handler: ControlHandler,
  signal: AbortSignal,
): Promise<ContainerLog> {
  for (;;) {
    const changed = Promise.withResolvers<void>();
    const following = handler.follow(changed.resolve);
    signal.addEventListener("abort", () => changed.resolve(), { once: true });
    try {
      return ask();
    } catch (error) {
      if (!(error instanceof LocalError) || error.code !== NOT_STARTED || signal.aborted) throw error;
      await changed.promise;
    } finally {
      following[Symbol.dispose]();
    }
  }
}

function follow(log: ContainerLog, lines: number | undefined, signal: AbortSignal): Response {
  let following: Disposable | undefined;
  const end = () => following?.[Symbol.dispose]();
  const stream = new ReadableStream<Uint8Array>({
    start(controller) {
      controller.enqueue(log.read(lines).slice());
      following = log.follow((chunk) => {
        if (chunk !== undefined) controller.enqueue(chunk);
        else controller.close();
      });
      signal.addEventListener("abort", end, { once: true });
    },
    cancel: end,
  });
  return new Response(stream);
}

/** One snapshot a line, the first at once, then after each change. */
function watch(handler: ControlHandler, signal: AbortSignal): Response {
  const encoder = new TextEncoder();
  let following: Disposable | undefined;
  const end = () => following?.[Symbol.dispose]();
  const stream = new ReadableStream<Uint8Array>({
    start(controller) {
      const send = () => controller.enqueue(encoder.encode(`${JSON.stringify(handler.snapshot())}\n`));
      send();
      following = handler.follow(send);
      signal.addEventListener("abort", end, { once: true });
    },
    cancel: end,
  });
  return new Response(stream);
}

function errorAnswer(error: unknown): Response {
  const known = error instanceof TulleError;
  const answer: ErrorAnswer = {
    error: {
      code: known ? error.code : "defect",
      message: known ? error.message : error instanceof Error ? (error.stack ?? error.message) : String(error),
      ...(known && error.hint !== undefined ? { hint: error.hint } : {}),
      exitCode: known ? error.exitCode : 1,
    },
  };
  return Response.json(answer, { status: 422 });
}
