/** Plain TCP to one address, with a deadline. */
import type { Clock, Ip, Millis } from "../mesh/index.ts";
import { OWNER_HANDLERS, type OwnedSocket, type SocketOwner, tune } from "./socket.ts";

/** Connect and handshake of any leg (dataplane.md §3). */
export const CONNECT_TIMEOUT: Millis = 10_000;

export interface DialObserver {
  /** The socket is open; its owner must be set before this returns. */
  onOpen(socket: OwnedSocket): void;
  /** Exactly one of onOpen and onFailed, unless the dial was cancelled. */
  onFailed(detail: string): void;
  /** Exactly once: the kernel's attempt has ended too. After a deadline or `cancel` that may take minutes. */
  onSettled?(): void;
}

/** One attempt to connect. Bun cannot abort one: a socket that opens after the deadline is reset at once. */
export class Dial implements SocketOwner {
  readonly #observer: DialObserver;
  readonly #deadline: Disposable;
  #settled = false;

  constructor(clock: Clock, ip: Ip, port: number, observer: DialObserver) {
    this.#observer = observer;
    this.#deadline = clock.after(CONNECT_TIMEOUT, () => this.fail("ETIMEDOUT"));
    Bun.connect<SocketOwner>({
      hostname: ip,
      port,
      allowHalfOpen: true,
      data: this,
      socket: DIAL_HANDLERS,
    })
      .catch((error: unknown) => this.fail(errorText(error)))
      .finally(() => observer.onSettled?.());
  }

  /** No callback comes any more. */
  cancel(): void {
    this.#settled = true;
    this.#deadline[Symbol.dispose]();
  }

  opened(socket: OwnedSocket): void {
    if (this.#settled) {
      socket.terminate();
      return;
    }
    this.cancel();
    tune(socket);
    this.#observer.onOpen(socket);
  }

  fail(detail: string): void {
    if (this.#settled) return;
    this.cancel();
    this.#observer.onFailed(detail);
  }

  received(): void {}
  writable(): void {}
  ended(): void {}
  closed(): void {}
}

const DIAL_HANDLERS = {
  ...OWNER_HANDLERS,
  connectError(): void {
    // The promise rejects with the same error.
  },
};

/** The code of a system error, or its message. */
export function errorText(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return "code" in error && typeof error.code === "string" ? error.code : error.message;
}
