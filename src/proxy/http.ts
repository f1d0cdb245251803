/** The two small HTTP listeners: `/metrics` and the application's probes on 15020, `/healthz/ready` on 15021. */
import type { AppProber } from "./app-probes.ts";
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
}

/** Answers GET on one path and on those of `others`; anything else is 404 or 405. Throws ProxyError `bind-failed`. */
export function serveHttp(options: HttpOptions): Bun.Server<undefined> {
  const { hosts, port, what, path, answer, others } = options;
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
