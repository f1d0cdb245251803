/**
 * A small Kubernetes API server on loopback that a test holds in its hand: any kind, in memory, with watches, bookmarks,
 * conflicts, and failures on demand. It validates nothing and has no RBAC; test/kube-real judges against a real one.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Connection, KubeObject } from "../kube/index.ts";
import { FakeApiStorage, type FakeEvent, FakeRefusal } from "./fake-api-storage.ts";

interface Watcher {
  readonly kind: string;
  readonly namespace: string | undefined;
  readonly bookmarks: boolean;
  readonly response: ServerResponse;
}

/** Where a path points. */
interface Target {
  readonly kind: string;
  readonly namespace: string | undefined;
  readonly name: string | undefined;
  readonly subresource: string | undefined;
}

/** One request as it arrived. */
export interface FakeRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage["headers"];
  readonly body: unknown;
}

export class FakeApiServer implements AsyncDisposable {
  readonly storage = new FakeApiStorage();
  /** Every request that arrived, oldest first. */
  readonly requests: FakeRequest[] = [];
  /** When set, every other bearer token is answered 401. */
  token: string | undefined;
  /** Called before a request is served; what it answers is sent instead. `"hang"` never answers. */
  intercept: (request: FakeRequest) => Interception | Promise<Interception> = () => undefined;
  /** Events and bookmarks are not sent while it is true, though connections stay: a dead network. */
  frozen = false;
  readonly #server: Server;
  readonly #watchers = new Set<Watcher>();
  #hanging = 0;

  private constructor() {
    this.#server = createServer((request, response) => void this.#serve(request, response));
    this.storage.follow((event) => {
      for (const watcher of this.#watchers) this.#send(watcher, event);
    });
  }

  static async start(): Promise<FakeApiServer> {
    const fake = new FakeApiServer();
    await new Promise<void>((ready) => fake.#server.listen(0, "127.0.0.1", ready));
    return fake;
  }

  get url(): string {
    const address = this.#server.address();
    return `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`;
  }

  /** A connection to this server, with a token that may change. */
  connection(token = "token-1"): Connection & { token: string; refreshed: number } {
    return {
      server: this.url,
      namespace: "default",
      proxy: false,
      token,
      refreshed: 0,
      async credentials() {
        return { headers: { authorization: `Bearer ${this.token}` }, tls: {} };
      },
      refresh() {
        this.refreshed += 1;
      },
      library: () => Promise.reject(new Error("the fake has no library configuration")),
    };
  }

  /** Watches open now. */
  get watching(): number {
    return this.#watchers.size;
  }

  /** Requests that get no answer, as `intercept` said. */
  get hanging(): number {
    return this.#hanging;
  }

  /** Sends a bookmark to each watch that allows it. */
  bookmark(): void {
    for (const watcher of this.#watchers)
      if (watcher.bookmarks)
        this.#line(watcher, {
          type: "BOOKMARK",
          object: { metadata: { resourceVersion: String(this.storage.version) } },
        });
  }

  /** Ends all watches as the server does when their time is up. */
  endWatches(): void {
    for (const watcher of this.#watchers) watcher.response.end();
  }

  /** Breaks the connections of all watches, in the middle of a line when asked to. */
  dropWatches(partial = ""): void {
    for (const { response } of this.#watchers) {
      if (partial !== "") response.write(partial);
      setImmediate(() => response.socket?.destroy());
    }
  }

  /** Sends a line to all watches as it is. */
  sendRaw(line: string): void {
    for (const watcher of this.#watchers) watcher.response.write(line);
  }

  /** Ends all watches with an ERROR event. */
  failWatches(code: number, reason: string): void {
    for (const watcher of this.#watchers) {
      this.#line(watcher, { type: "ERROR", object: statusOf(new FakeRefusal(code, reason, "told to fail")) });
      watcher.response.end();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((closed) => this.#server.close(() => closed()));
  }

  async #serve(message: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(message.url ?? "/", "http://fake");
    const chunks: Buffer[] = [];
    for await (const chunk of message) chunks.push(chunk as Buffer);
    const text = Buffer.concat(chunks).toString();
    const request: FakeRequest = {
      method: message.method ?? "GET",
      path: url.pathname,
      query: url.searchParams,
      headers: message.headers,
      body: text === "" ? undefined : JSON.parse(text),
    };
    this.requests.push(request);
    try {
      if (this.token !== undefined && message.headers.authorization !== `Bearer ${this.token}`)
        throw new FakeRefusal(401, "Unauthorized", "Unauthorized");
      const instead = await this.intercept(request);
      if (instead === "hang") return this.#hang(response);
      if (instead !== undefined) return answer(response, instead.status, instead.body ?? {}, instead.headers);
      this.#handle(request, response);
    } catch (error) {
      if (error instanceof FakeRefusal) return answer(response, error.code, statusOf(error));
      answer(response, 500, statusOf(new FakeRefusal(500, "InternalError", String(error))));
    }
  }

  #hang(response: ServerResponse): void {
    this.#hanging += 1;
    response.on("close", () => {
      this.#hanging -= 1;
    });
  }

  #handle(request: FakeRequest, response: ServerResponse): void {
    const at = targetOf(request.path);
    const { kind, namespace, name } = at;
    if (request.method === "GET" && name === undefined) {
      if (request.query.get("watch") === "true") return this.#watch(at, request.query, response);
      const page = this.storage.list(
        kind,
        namespace,
        Number(request.query.get("limit") ?? 0),
        request.query.get("continue"),
      );
      const metadata = {
        resourceVersion: String(page.version),
        ...(page.next === undefined ? {} : { continue: page.next }),
      };
      return answer(response, 200, { kind: "List", metadata, items: page.items });
    }
    if (request.method === "POST")
      return answer(response, 201, this.storage.create(kind, namespace, request.body as Partial<KubeObject>));
    if (name === undefined) throw new FakeRefusal(405, "MethodNotAllowed", "not allowed on a collection");
    switch (request.method) {
      case "GET":
        return answer(response, 200, this.storage.get(kind, namespace, name));
      case "PUT":
        return answer(response, 200, this.storage.update(kind, namespace, name, request.body as KubeObject));
      case "PATCH":
        return answer(response, 200, this.#patch(at, name, request));
      case "DELETE": {
        const options = request.body as { preconditions?: { uid?: string; resourceVersion?: string } } | undefined;
        return answer(response, 200, this.storage.delete(kind, namespace, name, options?.preconditions));
      }
      default:
        throw new FakeRefusal(405, "MethodNotAllowed", "unknown method");
    }
  }

  /** Merge patches only; an apply is a merge that may create. */
  #patch({ kind, namespace }: Target, name: string, request: FakeRequest): KubeObject {
    const type = request.headers["content-type"] ?? "";
    if (type !== "application/merge-patch+json" && type !== "application/apply-patch+yaml")
      throw new FakeRefusal(415, "UnsupportedMediaType", `the fake knows no ${type}`);
    const { storage } = this;
    let before: KubeObject;
    try {
      before = storage.get(kind, namespace, name);
    } catch (error) {
      if (!type.startsWith("application/apply")) throw error;
      return storage.create(kind, namespace, request.body as KubeObject);
    }
    return storage.update(kind, namespace, name, merge(before, request.body) as KubeObject);
  }

  #watch({ kind, namespace }: Target, query: URLSearchParams, response: ServerResponse): void {
    const watcher: Watcher = { kind, namespace, bookmarks: query.get("allowWatchBookmarks") === "true", response };
    const missed = this.storage.since(kind, Number(query.get("resourceVersion")));
    response.writeHead(200, { "content-type": "application/json" });
    response.flushHeaders();
    this.#watchers.add(watcher);
    response.on("close", () => this.#watchers.delete(watcher));
    for (const event of missed) this.#send(watcher, event);
  }

  #send(watcher: Watcher, event: FakeEvent): void {
    if (event.kind !== watcher.kind) return;
    if (watcher.namespace !== undefined && event.object.metadata.namespace !== watcher.namespace) return;
    this.#line(watcher, { type: event.type, object: event.object });
  }

  #line(watcher: Watcher, event: unknown): void {
    if (!this.frozen) watcher.response.write(`${JSON.stringify(event)}\n`);
  }
}

export type Interception =
  | "hang"
  | { readonly status: number; readonly body?: unknown; readonly headers?: Readonly<Record<string, string>> }
  | undefined;

function targetOf(path: string): Target {
  const match =
    /^(\/api\/[^/]+|\/apis\/[^/]+\/[^/]+)(?:\/namespaces\/([^/]+))?\/([^/]+)(?:\/([^/]+))?(?:\/([^/]+))?$/.exec(path);
  if (match === null) throw new FakeRefusal(404, "NotFound", "the server could not find the requested resource");
  const [, version, namespace, plural, name, subresource] = match;
  return { kind: `${version}/${plural}`, namespace, name, subresource };
}

function answer(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): void {
  response.writeHead(status, { "content-type": "application/json", ...headers });
  response.end(typeof body === "string" ? body : JSON.stringify(body));
}

function statusOf(refusal: FakeRefusal): object {
  return {
    kind: "Status",
    apiVersion: "v1",
    status: "Failure",
    message: refusal.message,
    reason: refusal.reason,
    code: refusal.code,
  };
}

/** RFC 7386. */
function merge(target: unknown, patch: unknown): unknown {
  if (typeof patch !== "object" || patch === null || Array.isArray(patch)) return patch;
  const result: Record<string, unknown> =
    typeof target === "object" && target !== null && !Array.isArray(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else result[key] = merge(result[key], value);
  }
  return result;
}
