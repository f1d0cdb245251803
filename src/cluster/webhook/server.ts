/** The admission webhook's HTTPS server: the newest certificate at each handshake, every answer within a bound. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { type Clock, INJECTOR_PATH, type Logger, type Millis } from "../../mesh/index.ts";
import { type ServerMaterial, TlsAcceptor } from "../../operator/index.ts";
import { type ReviewContext, type ReviewOutcome, reviewAdmission } from "./review.ts";

export interface WebhookOptions {
  readonly hosts: readonly string[];
  readonly port: number;
  readonly material: () => ServerMaterial;
  readonly context: ReviewContext;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** An object of etcd's largest size, twice (old and new), and the review around it. */
const LARGEST_BODY = 8 * 1024 * 1024;
/** Bodies in memory at a time, of all callers together: until its review is read, a caller may be anybody. */
const MOST_BUFFERED = 64 * 1024 * 1024;
/** From the head of a request to the end of its body. */
const BODY_LIMIT: Millis = 10_000;
/** An API server is one source, and opens a connection for each review that it has at the same time: one a new pod. */
const OF_AN_API_SERVER = { handshakes: 896, connections: 4_096 };

export class WebhookServer implements Disposable {
  readonly #options: WebhookOptions;
  readonly #server: Server;
  readonly #acceptor: TlsAcceptor;
  #leaving = false;
  #buffered = 0;
  /** Reviews by what became of them; `bad-request` and `defect` are no reviews. */
  readonly counts = new Map<ReviewOutcome | "bad-request" | "defect", number>();

  /** Listens at once. Throws OperatorError `bind-failed`. */
  constructor(options: WebhookOptions) {
    this.#options = options;
    this.#server = createServer((request, response) => void this.#serve(request, response));
    this.#acceptor = new TlsAcceptor({
      ...options,
      what: "the admission webhook",
      protocol: "http/1.1",
      ofASource: OF_AN_API_SERVER,
      onConnection: (connection) => this.#server.emit("connection", connection),
    });
  }

  /** The bound port. */
  get port(): number {
    return this.#acceptor.port;
  }

  /** From now on each answer ends its connection: what an API server asks next goes to a replica that stays. */
  leave(): void {
    this.#leaving = true;
  }

  [Symbol.dispose](): void {
    this.#acceptor[Symbol.dispose]();
    this.#server.close();
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (this.#leaving) response.setHeader("connection", "close");
    try {
      if (request.method !== "POST" || new URL(request.url ?? "/", "https://x").pathname !== INJECTOR_PATH) {
        request.resume();
        return this.#plain(response, 404, "not found");
      }
      let body: unknown;
      try {
        body = JSON.parse(await this.#readBody(request));
      } catch (error) {
        this.#count("bad-request");
        return this.#plain(response, 400, error instanceof Error ? error.message : String(error));
      }
      const reviewed = reviewAdmission(body, this.#options.context);
      this.#count(reviewed.outcome);
      const { outcome, why, namespace, pod } = reviewed;
      const level = outcome === "refused" ? "warn" : outcome === "patched" ? "info" : "debug";
      this.#options.logger.log(level, "admission review", { outcome, why, namespace, pod });
      const text = JSON.stringify(reviewed.response);
      response.writeHead(200, { "content-type": "application/json", "content-length": Buffer.byteLength(text) });
      response.end(text);
    } catch (error) {
      const bad = error instanceof RangeError;
      this.#count(bad ? "bad-request" : "defect");
      if (!bad) this.#options.logger.log("error", "admission review failed", { error: String(error) });
      this.#plain(response, bad ? 400 : 500, bad ? error.message : "the webhook failed; see the operator's log");
    }
  }

  async #readBody(request: IncomingMessage): Promise<string> {
    const chunks: Buffer[] = [];
    let size = 0;
    // The server's own `requestTimeout` does nothing on a connection that was handed to it (Bun 1.4.5).
    const deadline = this.#options.clock.after(BODY_LIMIT, () => request.destroy());
    try {
      await new Promise<void>((resolve, reject) => {
        request.on("data", (chunk: Buffer) => {
          if (request.destroyed) return;
          size += chunk.length;
          this.#buffered += chunk.length;
          chunks.push(chunk);
          if (size <= LARGEST_BODY && this.#buffered <= MOST_BUFFERED) return;
          reject(new RangeError(`the body is larger than ${LARGEST_BODY} bytes, or there are too many at once`));
          request.destroy();
        });
        request.on("end", resolve);
        request.on("error", reject);
        request.on("close", () => reject(new RangeError("the request was cut off")));
      });
      return Buffer.concat(chunks).toString("utf8");
    } finally {
      this.#buffered -= size;
      deadline[Symbol.dispose]();
    }
  }

  #plain(response: ServerResponse, status: number, text: string): void {
    if (response.headersSent) return;
    response.writeHead(status, { "content-type": "text/plain; charset=utf-8" });
    response.end(`${text}\n`);
  }

  #count(outcome: ReviewOutcome | "bad-request" | "defect"): void {
    this.counts.set(outcome, (this.counts.get(outcome) ?? 0) + 1);
  }
}
