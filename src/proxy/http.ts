/** The two small HTTP listeners: `/metrics` and the application's probes on 15020, `/healthz/ready` on 15021. */
import type { Clock, Millis } from "../mesh/index.ts";
import type { AppProber } from "./app-probes.ts";
import { descriptorsAreGone } from "./descriptors.ts";
import { bindFailed, firstThatBinds } from "./listen.ts";

export interface HttpOptions {
  /** Tried in turn: the first whose address family is there. */
  readonly hosts: readonly string[];
  readonly port: number;
  readonly what: string;
  readonly path: string;
  readonly answer: () => Response;
  /** Asked for any other path; undefined means that nothing is there. */
  readonly others?: AppProber | undefined;
  readonly clock: Clock;
}

/**
 * Bun's HTTP server takes every connection that comes, down to the last file descriptor. When none are left for that, all its
 * connections are dropped: whoever asks in earnest asks again. Looked at so often:
 */
const LOOK_EVERY: Millis = 2_000;

/** Answers GET on one path and on those of `others`; anything else is 404 or 405. */
export class HttpListener {
  /** Where it listens. */
  readonly port: number;
  readonly #options: HttpOptions;
  #server: Bun.Server<undefined> | undefined;
  #nextLook: Disposable | undefined;

  /** Binds at once. Throws ProxyError `bind-failed`. */
  constructor(options: HttpOptions) {
    this.#options = options;
    this.#server = serve(options, options.port);
    this.port = this.#server.port ?? options.port;
    this.#watch();
  }

  /** Takes no new connections and drops those that are open. */
  async stop(): Promise<void> {
    this.#nextLook?.[Symbol.dispose]();
    await this.#server?.stop(true);
  }

  #watch(): void {
    this.#nextLook = this.#options.clock.after(LOOK_EVERY, () => {
      this.#watch();
      if (this.#server !== undefined && !descriptorsAreGone()) return;
      void this.#server?.stop(true);
      this.#server = undefined;
      try {
        this.#server = serve(this.#options, this.port);
      } catch {
        // Still none: tried again at the next look.
      }
    });
  }
}

function serve(options: HttpOptions, port: number): Bun.Server<undefined> {
  const { hosts, what, path, answer, others } = options;
  return firstThatBinds(hosts, (host) => {
    try {
      return Bun.serve({
        hostname: host,
        port,
        development: false,
        fetch: (request, server) => {
          // The Host header is the caller's, and part of the URL.
          if (!URL.canParse(request.url)) return new Response("bad request\n", { status: 400 });
          const asked = new URL(request.url).pathname;
          const other = asked === path || others?.has(asked) !== true ? undefined : others;
          if (asked !== path && other === undefined) return new Response("not found\n", { status: 404 });
          if (request.method !== "GET" && request.method !== "HEAD") {
            return new Response("method not allowed\n", { status: 405, headers: { allow: "GET, HEAD" } });
          }
          return other === undefined ? answer() : other.answer(asked, request, server);
        },
      });
    } catch (error) {
      throw bindFailed({ what, host, port }, error);
    }
  });
}
