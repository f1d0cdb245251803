/** Runs `node-peer.mjs` under Node: HTTP/2 and TLS of another make. */
import { fileURLToPath } from "node:url";

const SCRIPT = fileURLToPath(new URL("./node-peer.mjs", import.meta.url));

export interface NodeEvent {
  readonly event: string;
  readonly [field: string]: unknown;
}

export class NodePeer implements AsyncDisposable {
  /** What it said so far. */
  readonly events: NodeEvent[] = [];
  /** Standard error, once it ended. */
  readonly #child: Bun.Subprocess<"pipe", "pipe", "inherit">;
  readonly #reading: Promise<void>;
  #waiting: { readonly event: string; readonly resolve: (event: NodeEvent) => void }[] = [];

  constructor(role: "client" | "server", options: Readonly<Record<string, unknown>>) {
    this.#child = Bun.spawn(["node", SCRIPT, role, JSON.stringify(options)], {
      stdin: "pipe",
      stdout: "pipe",
      stderr: "inherit",
    });
    this.#reading = this.#read();
  }

  /** The first event of a kind, of those that came or as soon as it comes. */
  next(event: string): Promise<NodeEvent> {
    return new Promise((resolve) => {
      this.#waiting.push({ event, resolve });
      this.#serve();
    });
  }

  /** Everything that it said until it ended by itself. */
  async all(): Promise<readonly NodeEvent[]> {
    await this.#reading;
    return this.events;
  }

  /** A server ends when its standard input does. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#child.stdin.end();
    await this.#child.exited;
  }

  async #read(): Promise<void> {
    let rest = "";
    for await (const chunk of this.#child.stdout.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + chunk).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) this.events.push(JSON.parse(line));
      this.#serve();
    }
  }

  #serve(): void {
    this.#waiting = this.#waiting.filter((waiter) => {
      const found = this.events.find((event) => event.event === waiter.event);
      if (found !== undefined) waiter.resolve(found);
      return found === undefined;
    });
  }
}
