/** A TCP relay on loopback between a client and the API server, to cut, to freeze and to slow a network. */
import { connect, createServer, type Server, type Socket } from "node:net";

export class Relay implements AsyncDisposable {
  readonly #server: Server;
  readonly #pairs = new Set<readonly [Socket, Socket]>();
  #refusing = false;
  #frozen = false;

  private constructor(target: number) {
    this.#server = createServer((near) => {
      if (this.#refusing) return near.destroy();
      const far = connect(target, "127.0.0.1");
      const pair = [near, far] as const;
      this.#pairs.add(pair);
      near.pipe(far);
      far.pipe(near);
      if (this.#frozen) this.freeze();
      for (const socket of pair) {
        socket.on("error", () => {});
        socket.on("close", () => {
          this.#pairs.delete(pair);
          for (const one of pair) one.destroy();
        });
      }
    });
  }

  static async start(target: number): Promise<Relay> {
    const relay = new Relay(target);
    await new Promise<void>((ready) => relay.#server.listen(0, "127.0.0.1", ready));
    return relay;
  }

  get port(): number {
    const address = this.#server.address();
    return typeof address === "object" && address !== null ? address.port : 0;
  }

  /** Breaks what is open and takes nothing new, until `mend`. */
  cut(): void {
    this.#refusing = true;
    for (const pair of this.#pairs) for (const socket of pair) socket.destroy();
  }

  /** Nothing passes, nothing closes, until `mend`. */
  freeze(): void {
    this.#frozen = true;
    for (const [near, far] of this.#pairs) {
      near.unpipe(far);
      far.unpipe(near);
      near.pause();
      far.pause();
    }
  }

  mend(): void {
    this.#refusing = false;
    if (!this.#frozen) return;
    this.#frozen = false;
    for (const [near, far] of this.#pairs) {
      near.pipe(far);
      far.pipe(near);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut();
    await new Promise<void>((closed) => this.#server.close(() => closed()));
  }
}
