/**
 * Requests to one API server over Bun's fetch. The official library's own calls do not get the CA to Bun's fetch and fail
 * with UNABLE_TO_VERIFY_LEAF_SIGNATURE. Connections are kept in a session of their own, so that closing the transport
 * closes them and no other client ever uses a connection made with these credentials.
 */
import type { Clock, Millis } from "../mesh/index.ts";
import type { Connection } from "./connection.ts";
import { Deadline } from "./deadline.ts";
import { KubeError } from "./errors.ts";
import { errorFromStatus, retryAfterOf, type Status } from "./status.ts";

/** How long a call may take, unless it says otherwise. */
export const CALL_TIMEOUT: Millis = 30_000;

export interface Call {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  readonly path: string;
  readonly query?: URLSearchParams;
  /** Sent as JSON. */
  readonly body?: unknown;
  readonly contentType?: string;
  readonly accept?: string;
  /** What is tried, for messages: "get pods/web in namespace demo". */
  readonly what: string;
  readonly timeout?: Millis | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What an error needs of a call. */
export type Named = Pick<Call, "what">;

export class Transport implements Disposable {
  readonly #connection: Connection;
  readonly #clock: Clock;
  readonly #agent: string;
  readonly #session: Bun.FetchSession;

  constructor(connection: Connection, clock: Clock, agent: string) {
    this.#connection = connection;
    this.#clock = clock;
    this.#agent = agent;
    this.#session = new Bun.FetchSession(connection.proxy === undefined ? {} : { proxy: connection.proxy });
  }

  get clock(): Clock {
    return this.#clock;
  }

  /** The whole answer as text. Throws `KubeError`. */
  async text(call: Call): Promise<string> {
    const deadline = new Deadline(this.#clock, call.timeout ?? CALL_TIMEOUT, call.signal);
    try {
      return await (await this.#send(call, deadline)).text();
    } catch (error) {
      throw failure(call, deadline, error);
    } finally {
      deadline[Symbol.dispose]();
    }
  }

  /** The answer as JSON. Throws `KubeError`. */
  async json<T>(call: Call): Promise<T> {
    const text = await this.text(call);
    try {
      return JSON.parse(text) as T;
    } catch {
      // The parser's message would quote the answer, which may be a Secret.
      throw new KubeError("bad-answer", `cannot ${call.what}: the answer is not JSON (${text.length} characters)`);
    }
  }

  /**
   * The body as it comes, for a watch. `deadline` is the caller's: it limits the wait for the headers and then the
   * reading, as the caller extends it.
   */
  async stream(call: Call, deadline: Deadline): Promise<ReadableStream<Uint8Array>> {
    const response = await this.#send(call, deadline);
    if (response.body === null) throw new KubeError("bad-answer", `cannot ${call.what}: the answer has no body`);
    return response.body;
  }

  /** Closes what is idle; requests on their way end by their own signals. */
  [Symbol.dispose](): void {
    this.#session[Symbol.dispose]();
  }

  async #send(call: Call, deadline: Deadline): Promise<Response> {
    let response = await this.#attempt(call, deadline);
    if (response.status === 401) {
      // A token may have been replaced, or a plugin's credential revoked, since it was read.
      await response.body?.cancel();
      this.#connection.refresh();
      response = await this.#attempt(call, deadline);
    }
    if (response.ok) return response;
    throw await refusal(call, deadline, response);
  }

  async #attempt(call: Call, deadline: Deadline): Promise<Response> {
    const { headers, tls } = await unlessAborted(this.#connection.credentials(), call, deadline);
    const query = call.query === undefined || call.query.size === 0 ? "" : `?${call.query}`;
    try {
      return await this.#session.fetch(`${this.#connection.server}${call.path}${query}`, {
        method: call.method,
        headers: {
          accept: call.accept ?? "application/json",
          "user-agent": this.#agent,
          ...(call.body === undefined ? {} : { "content-type": call.contentType ?? "application/json" }),
          ...headers,
        },
        ...(call.body === undefined ? {} : { body: JSON.stringify(call.body) }),
        // Credentials go to the server that they are for and nowhere else.
        redirect: "manual",
        // Bun's own idle limit of 5 minutes would cut a quiet watch.
        timeout: false,
        tls: { ...tls },
        signal: deadline.signal,
      });
    } catch (error) {
      throw failure(call, deadline, error);
    }
  }
}

/** Plugins know nothing of our deadline: the wait for them ends by it all the same. */
async function unlessAborted<T>(work: Promise<T>, call: Call, deadline: Deadline): Promise<T> {
  const { signal } = deadline;
  let stop: (() => void) | undefined;
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(deadline.expired ? late(call) : gaveUp(call));
    if (signal.aborted) stop();
    else signal.addEventListener("abort", stop, { once: true });
  });
  aborted.catch(() => {});
  work.catch(() => {});
  try {
    return await Promise.race([work, aborted]);
  } finally {
    if (stop !== undefined) signal.removeEventListener("abort", stop);
  }
}

async function refusal(call: Call, deadline: Deadline, response: Response): Promise<KubeError> {
  let status: Status = {};
  try {
    const parsed: unknown = JSON.parse(await response.text());
    if (typeof parsed === "object" && parsed !== null) status = parsed as Status;
  } catch (error) {
    if (deadline.signal.aborted) return failure(call, deadline, error);
    // A proxy's page or nothing at all: the HTTP status says enough.
  }
  return errorFromStatus(call.what, response.status, status, retryAfterOf(response.headers));
}

function late(call: Named): KubeError {
  return new KubeError("timeout", `cannot ${call.what}: no answer in time`);
}

function gaveUp(call: Named): KubeError {
  return new KubeError("aborted", `gave up: ${call.what}`);
}

/** The error for a request or a stream that broke. */
export function failure(call: Named, deadline: Deadline, error: unknown): KubeError {
  if (error instanceof KubeError) return error;
  if (deadline.expired) return late(call);
  if (deadline.signal.aborted) return gaveUp(call);
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  if (/CERT|SIGNATURE|ISSUER|ALTNAME|SSL|TLS/.test(code))
    return new KubeError("untrusted-server", `cannot ${call.what}: the API server's certificate is refused (${code})`, {
      cause: error,
    });
  return new KubeError(
    "unreachable",
    `cannot ${call.what}: no connection to the API server${code === "" ? "" : ` (${code})`}`,
    {
      cause: error,
    },
  );
}
