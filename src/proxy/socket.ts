/**
 * Bun's sockets as the proxy uses them: one set of callbacks for all, which hands each event to the owner of the
 * socket. Hot path: no closure is made per socket or per chunk.
 *
 * What Bun 1.4.5 does (each seen by running it): `shutdown()` sends a FIN and keeps reading; `end()` closes both ways;
 * `terminate()` sends a RST (SO_LINGER 0). Once we have shut down, the peer's FIN comes as `close` without `end`.
 * `write` answers -1 on a closed socket. A chunk may still arrive after `pause()`.
 */
import { setBacklog, setKeepAlive, socketDescriptor } from "../capture/index.ts";
import type { Millis } from "../mesh/index.ts";

/** What owns a socket; replaced at any time by assigning `socket.data`. */
export interface SocketOwner {
  opened(socket: OwnedSocket): void;
  /** The chunk is the owner's to keep. */
  received(chunk: Uint8Array): void;
  /** Room to write again; may come without need. */
  writable(): void;
  /** The peer sent a FIN. */
  ended(): void;
  /** Always the last call. An error means that the connection broke (RST, timeout) and did not end by FINs. */
  closed(error: Error | undefined): void;
  /** TLS only. `error` is the verdict on the peer's chain: the boolean that Bun passes is not to be trusted. */
  handshaken?(error: Error | null): void;
}

export type OwnedSocket = Bun.Socket<SocketOwner>;

/**
 * Both legs: a probe after this long without traffic finds a peer that vanished. Below 60 s, because the kernel forgets a
 * redirected connection that long after one side's FIN (nf_conntrack_tcp_timeout_close_wait): then a late answer is lost
 * and a reused port hangs (istio#43301). A probe before that keeps the entry.
 */
const KEEP_ALIVE_AFTER: Millis = 45_000;
/** As Bun has them for a socket that was dialled. */
const KEEP_ALIVE_INTERVAL: Millis = 1_000;
const KEEP_ALIVE_PROBES = 10;
/** Connections that wait until they are accepted; the kernel's own bound (net.core.somaxconn) is 4,096. */
const BACKLOG = 4_096;

/** Dispatches each event of a socket to `socket.data`. */
export const OWNER_HANDLERS = {
  open(socket: OwnedSocket): void {
    socket.data.opened(socket);
  },
  data(socket: OwnedSocket, chunk: Buffer): void {
    socket.data.received(chunk);
  },
  drain(socket: OwnedSocket): void {
    socket.data.writable();
  },
  end(socket: OwnedSocket): void {
    socket.data.ended();
  },
  close(socket: OwnedSocket, error?: Error): void {
    socket.data.closed(error);
  },
  error: broken,
} as const;

/**
 * For the plain half of a socket that `upgradeTLS` took over: Bun would hand it the ciphertext too (seen with 1.4.5), as a
 * copy of every chunk. Without a `data` callback it does not.
 */
export const UPGRADED_HANDLERS = {
  drain(): void {},
  error: broken,
} as const;

/** `OWNER_HANDLERS` with a TLS verdict. */
export const TLS_HANDLERS = {
  ...OWNER_HANDLERS,
  handshake(socket: OwnedSocket, _success: boolean, error: Error | null): void {
    socket.data.handshaken?.(error);
  },
} as const;

/**
 * For a socket that was dialled: keep-alive, because streams have no idle timeout. Bun sets NODELAY by itself, which fits,
 * because frames are coalesced above.
 */
export function tune(socket: OwnedSocket): void {
  socket.setKeepAlive(true, KEEP_ALIVE_AFTER);
}

/** For a listener: what it accepts inherits the keep-alive, and a burst of connections finds room. */
export function tuneListener(listener: object): void {
  const fd = socketDescriptor(listener);
  setKeepAlive(fd, KEEP_ALIVE_AFTER / 1_000, KEEP_ALIVE_INTERVAL / 1_000, KEEP_ALIVE_PROBES);
  setBacklog(fd, BACKLOG);
}

/** Closes with a RST: the application sees an error, never an empty success (dataplane.md §3). */
export function abort(socket: OwnedSocket): void {
  socket.terminate();
}

let onDefect: (error: Error) => void = () => undefined;

/** Where an exception goes that an owner or a handler of HTTP/2 threw: nobody else would hear of it. */
export function reportDefects(report: (error: Error) => void): void {
  onDefect = report;
}

/** The exception of a callback that ended an HTTP/2 connection, if that is why it ended. */
export function reportDefectOf(closing: Error | undefined): void {
  if (closing?.cause instanceof Error) onDefect(closing.cause);
}

/** Bun calls this when a callback threw, and when an established TLS session failed. */
function broken(socket: OwnedSocket, error: Error): void {
  if (!("code" in error)) onDefect(error);
  socket.terminate();
}
