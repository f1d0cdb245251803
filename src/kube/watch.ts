/** One watch: a request whose answer is read event by event until the server ends it, it breaks, or it falls silent. */
import type { Millis } from "../mesh/index.ts";
import { type KubeClient, selection } from "./client.ts";
import { Deadline } from "./deadline.ts";
import { LineDecoder } from "./line-decoder.ts";
import type { KubeObject } from "./object.ts";
import { describe, pathOf, type Resource } from "./resource.ts";
import { errorFromStatus } from "./status.ts";
import { failure } from "./transport.ts";
import { parseWatchEvent, type WatchEvent } from "./watch-event.ts";

export interface WatchOptions {
  readonly namespace?: string | undefined;
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
  /** Events after this version. */
  readonly resourceVersion: string;
  /** When the server ends the watch. */
  readonly serverTimeout: Millis;
  /** How long nothing may arrive: asked again after each chunk. Then the connection counts as dead: `timeout`. */
  readonly silence: () => Millis;
  readonly signal: AbortSignal;
  /** The server has accepted the watch. */
  readonly onOpen?: () => void;
}

/** How long the server may take to accept a watch. */
const OPEN_TIMEOUT: Millis = 30_000;

/** Ends when the server ends the watch as it should. ERROR events are thrown: `expired` when the version is too old. */
export async function watch<T extends KubeObject>(
  client: KubeClient,
  of: Resource<T>,
  options: WatchOptions,
  onEvent: (event: Exclude<WatchEvent<T>, { type: "ERROR" }>) => void,
): Promise<void> {
  const query = selection({ ...options, limit: undefined });
  query.set("watch", "true");
  query.set("allowWatchBookmarks", "true");
  query.set("timeoutSeconds", String(Math.ceil(options.serverTimeout / 1000)));
  const what = `watch ${describe(of, { namespace: options.namespace })}`;
  const deadline = new Deadline(client.transport.clock, OPEN_TIMEOUT, options.signal);
  const call = { method: "GET", path: pathOf(of, { namespace: options.namespace }), query, what } as const;
  const onLine = (line: string) => {
    const event = parseWatchEvent<T>(line);
    if (event.type === "ERROR") throw errorFromStatus(what, event.object.code ?? 500, event.object);
    onEvent(event);
  };
  try {
    const body = await client.transport.stream(call, deadline);
    options.onOpen?.();
    await readLines(body, deadline, options.silence, onLine);
  } catch (error) {
    throw failure({ what }, deadline, error);
  } finally {
    deadline[Symbol.dispose]();
  }
}

async function readLines(
  body: ReadableStream<Uint8Array>,
  deadline: Deadline,
  silence: () => Millis,
  onLine: (line: string) => void,
): Promise<void> {
  const reader = body.getReader();
  const lines = new LineDecoder();
  try {
    for (;;) {
      deadline.extend(silence());
      const { done, value } = await reader.read();
      // Bun may end an aborted body as if it were complete (oven-sh/bun#32659).
      if (deadline.signal.aborted) throw deadline.signal.reason;
      if (done) return;
      lines.push(value, onLine);
    }
  } finally {
    // Releases the connection whatever ended the watch; an abort has done so already.
    await reader.cancel().catch(() => {});
  }
}
