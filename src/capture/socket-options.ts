/**
 * Socket options that Bun does not offer, by getsockopt and setsockopt of the C library. Called at every accept: the
 * buffers are made once, and nothing is allocated but the answer. Option numbers are those of Linux on x86-64 and arm64.
 */
import { formatIp, type Ip } from "../mesh/index.ts";
import { openLibc } from "./libc.ts";

export interface OriginalDestination {
  readonly ip: Ip;
  readonly port: number;
}

const AF_INET = 2;
const AF_INET6 = 10;
const SOL_SOCKET = 1;
const SO_KEEPALIVE = 9;
const SO_LINGER = 13;
const SOL_IP = 0;
const SOL_TCP = 6;
const SOL_IPV6 = 41;
const TCP_KEEPIDLE = 4;
const TCP_KEEPINTVL = 5;
const TCP_KEEPCNT = 6;
/** SO_ORIGINAL_DST and IP6T_SO_ORIGINAL_DST have the same number. */
const SO_ORIGINAL_DST = 80;
/** sizeof(struct sockaddr_in6), the longer of the two. */
const ADDRESS_LENGTH = 28;

/** A sockaddr that the kernel fills, with views of its fields. */
class SocketAddress {
  readonly bytes = new Uint8Array(ADDRESS_LENGTH);
  readonly length = new Uint32Array(1);
  readonly #family = new Uint16Array(this.bytes.buffer, 0, 1);
  readonly #v4 = this.bytes.subarray(4, 8);
  readonly #v6 = this.bytes.subarray(8, 24);
  readonly #v4Mapped = this.bytes.subarray(20, 24);

  /** To be called before the kernel fills it. */
  clear(): void {
    this.length[0] = ADDRESS_LENGTH;
    this.#family[0] = 0;
  }

  get port(): number {
    return ((this.bytes[2] ?? 0) << 8) | (this.bytes[3] ?? 0);
  }

  /** The address's bytes, v4-mapped ones as IPv4; undefined for another kind of socket. */
  get address(): Uint8Array | undefined {
    const family = this.#family[0];
    if (family === AF_INET) return this.#v4;
    if (family !== AF_INET6) return undefined;
    return this.#isV4Mapped() ? this.#v4Mapped : this.#v6;
  }

  #isV4Mapped(): boolean {
    for (let i = 8; i < 18; i++) if (this.bytes[i] !== 0) return false;
    return this.bytes[18] === 0xff && this.bytes[19] === 0xff;
  }
}

const local = new SocketAddress();
const original = new SocketAddress();
const value = new Int32Array(1);
/** struct linger: on, and zero seconds. */
const lingerZero = new Int32Array([1, 0]);

type Libc = ReturnType<typeof load>;
let libc: Libc | undefined;

/**
 * The file descriptor of a Bun socket or listener, which its types do not show; -1 when it has none (closed), which every function
 * of this file takes as a socket that the kernel refuses.
 */
export function socketDescriptor(socket: object): number {
  return "fd" in socket && typeof socket.fd === "number" ? socket.fd : -1;
}

/**
 * Where a redirected connection was going before the rule changed it, or undefined when it was not redirected.
 *
 * Seen on Linux 6.18: without a conntrack entry getsockopt fails (ENOENT); with an entry that no rule changed it
 * succeeds and tells the socket's own address. Both mean the same to us, so an answer equal to the local address is
 * undefined too: someone dialed the proxy's port itself. An IPv4 connection on a socket bound to `::` is only known at
 * the IPv4 level, so the local address decides the level. Throws CaptureError `no-libc`, never for a bad socket.
 */
export function originalDestination(fd: number): OriginalDestination | undefined {
  libc ??= load();
  local.clear();
  if (libc.getsockname(fd, local.bytes, local.length) !== 0) return undefined;
  const own = local.address;
  if (own === undefined) return undefined;
  original.clear();
  const level = own.length === 4 ? SOL_IP : SOL_IPV6;
  if (libc.getsockopt(fd, level, SO_ORIGINAL_DST, original.bytes, original.length) !== 0) return undefined;
  const address = original.address;
  if (address === undefined || (original.port === local.port && sameBytes(address, own))) return undefined;
  return { ip: formatIp(address), port: original.port };
}

/**
 * Makes the next close of the socket a reset, whatever is still to be sent (SO_LINGER on, 0 s): after it `end()`
 * sends RST instead of FIN. False when the kernel refuses, as for a closed socket. Throws CaptureError `no-libc`.
 */
export function resetOnClose(fd: number): boolean {
  libc ??= load();
  return libc.setsockopt(fd, SOL_SOCKET, SO_LINGER, lingerZero, 8) === 0;
}

/**
 * How many connections a listening socket keeps until they are accepted, as far as net.core.somaxconn allows; Bun asks for
 * 512. False when the kernel refuses. Throws CaptureError `no-libc`.
 */
export function setBacklog(fd: number, connections: number): boolean {
  libc ??= load();
  return libc.listen(fd, connections) === 0;
}

/**
 * TCP keep-alive, of a listening socket for all that it accepts: the first probe after `idleSeconds` of silence, then every `intervalSeconds`, and after `count`
 * unanswered ones the connection is dead. Bun's own setKeepAlive sets the idle time only and fixes the rest at 10 probes
 * of 1 s. (TCP_NODELAY needs no helper: Bun sets it on every socket.) False when the kernel refuses.
 */
export function setKeepAlive(fd: number, idleSeconds: number, intervalSeconds: number, count: number): boolean {
  return (
    setNumber(fd, SOL_SOCKET, SO_KEEPALIVE, 1) &&
    setNumber(fd, SOL_TCP, TCP_KEEPIDLE, idleSeconds) &&
    setNumber(fd, SOL_TCP, TCP_KEEPINTVL, intervalSeconds) &&
    setNumber(fd, SOL_TCP, TCP_KEEPCNT, count)
  );
}

function setNumber(fd: number, level: number, option: number, number: number): boolean {
  libc ??= load();
  value[0] = number;
  return libc.setsockopt(fd, level, option, value, 4) === 0;
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

function load() {
  return openLibc({
    getsockname: { args: ["i32", "ptr", "ptr"], returns: "i32" },
    getsockopt: { args: ["i32", "i32", "i32", "ptr", "ptr"], returns: "i32" },
    setsockopt: { args: ["i32", "i32", "i32", "ptr", "u32"], returns: "i32" },
    listen: { args: ["i32", "i32"], returns: "i32" },
  });
}
