/** The two small HTTP listeners: `/metrics` on 15020 and `/healthz/ready` on 15021. */
import { bindFailed, firstThatBinds } from "./listen.ts";

export interface HttpOptions {
  /** Tried in turn: the first whose address family is there. */
  readonly hosts: readonly string[];
  readonly port: number;
  readonly what: string;
  readonly path: string;
  readonly answer: () => Response;
}

/** Answers GET on one path; anything else is 404 or 405. Throws ProxyError `bind-failed`. */
export function serveHttp(options: HttpOptions): Bun.Server<undefined> {
  const { hosts, port, what, path, answer } = options;
  return firstThatBinds(hosts, (host) => {
    try {
      return Bun.serve({
        hostname: host,
        port,
        development: false,
        fetch: (request) => {
          if (new URL(request.url).pathname !== path) return new Response("not found\n", { status: 404 });
          if (request.method !== "GET" && request.method !== "HEAD") {
            return new Response("method not allowed\n", { status: 405, headers: { allow: "GET, HEAD" } });
          }
          return answer();
        },
      });
    } catch (error) {
      throw bindFailed({ what, host, port }, error);
    }
  });
}
