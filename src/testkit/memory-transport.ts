/** Two byte transports back to back, in memory: stands for a connected pair of sockets. */
import type { ByteTransport } from "../tunnel/index.ts";

/** What a transport reports to; `Http2Connection` is one. */
export interface TransportOwner {
  receive(bytes: Uint8Array): void;
  transportWritable(): void;
  transportClosed(): void;
}

export interface MemoryTransportOptions {
  /** Bytes that may be under way in one direction; a `write` beyond is cut short. Default 1 MiB. */
  readonly capacity?: number;
  /** How many bytes `write` takes at most, asked at each write: makes short writes. */
  readonly take?: () => number;
  /** How many bytes the next `receive` gets at most, asked before each: cuts the stream anywhere. */
  readonly cut?: () => number;
}

/** One end. Bytes, room and the end of the connection arrive in a later event-loop turn, as with a socket. */
export class MemoryTransport implements ByteTransport {
  readonly #options: MemoryTransportOptions;
  #owner: TransportOwner | undefined;
  #peer: MemoryTransport | undefined;
  /** Bytes on the way to the peer. */
  readonly #sent: Uint8Array[] = [];
  #sentBytes = 0;
  #cutShort = false;
  #closing = false;
  #closed = false;
  #paused = false;
  #scheduled = false;
  /** Sees every chunk as it is written. */
  onWrite: ((bytes: Uint8Array) => void) | undefined;
  /** Calls of `write`. */
  writes = 0;

  constructor(options: MemoryTransportOptions) {
    this.#options = options;
  }

  /** Whether this end was closed or destroyed by either side. */
  get closed(): boolean {
    return this.#closed;
  }

  link(peer: MemoryTransport): void {
    this.#peer = peer;
  }

  attach(owner: TransportOwner): void {
    this.#owner = owner;
    this.#schedule();
    if (this.#peer !== undefined) this.#peer.#schedule();
  }

  write(bytes: Uint8Array): number {
    if (this.#closed || this.#closing) return 0;
    this.writes++;
    const room = (this.#options.capacity ?? 1 << 20) - this.#sentBytes;
    const taken = Math.max(0, Math.min(bytes.length, room, this.#options.take?.() ?? bytes.length));
    if (taken > 0) {
      const copy = bytes.slice(0, taken);
      this.onWrite?.(copy);
      this.#sent.push(copy);
      this.#sentBytes += taken;
    }
    this.#cutShort = taken < bytes.length;
    this.#schedule();
    return taken;
  }

  close(): void {
    this.#closing = true;
    this.#schedule();
  }

  destroy(): void {
    this.#sent.length = 0;
    this.#sentBytes = 0;
    this.#closing = true;
    this.#schedule();
  }

  pauseReading(): void {
    this.#paused = true;
  }

  resumeReading(): void {
    this.#paused = false;
    if (this.#peer !== undefined) this.#peer.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled || this.#closed) return;
    this.#scheduled = true;
    setImmediate(this.#deliver);
  }

  readonly #deliver = (): void => {
    this.#scheduled = false;
    const peer = this.#peer;
    const receiver = peer === undefined || peer.#paused ? undefined : peer.#owner;
    if (this.#closed || receiver === undefined) return;
    while (this.#sentBytes > 0 && !this.#closed) {
      const chunk = this.#nextChunk();
      this.#sentBytes -= chunk.length;
      receiver.receive(chunk);
      if (this.#options.cut !== undefined) break;
    }
    if (this.#sentBytes > 0) this.#schedule();
    if (this.#cutShort && !this.#closing) {
      this.#cutShort = false;
      this.#owner?.transportWritable();
    }
    if (this.#closing && this.#sentBytes === 0) this.#shut();
  };

  #nextChunk(): Uint8Array {
    const first = this.#sent.shift();
    if (first === undefined) throw new Error("the count of bytes under way is wrong");
    const most = Math.max(1, this.#options.cut?.() ?? first.length);
    if (first.length <= most) return first;
    this.#sent.unshift(first.subarray(most));
    return first.subarray(0, most);
  }

  #shut(): void {
    for (const end of [this, this.#peer]) {
      if (end === undefined || end.#closed) continue;
      end.#closed = true;
      end.#owner?.transportClosed();
    }
  }
}

/** Both ends; each needs its owner by `attach`. */
export function memoryTransportPair(options: MemoryTransportOptions = {}): [MemoryTransport, MemoryTransport] {
  const left = new MemoryTransport(options);
  const right = new MemoryTransport(options);
  left.link(right);
  right.link(left);
  return [left, right];
}
