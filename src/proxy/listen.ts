/** Binding the proxy's listeners, with an error that says who is in the way. */
import { socketDescriptor } from "../capture/index.ts";
import { isIpv6, parseIp } from "../mesh/index.ts";
import type { AccessLog } from "./access-log.ts";
import { isLastDescriptor, NO_DESCRIPTORS } from "./descriptors.ts";
import { errorText } from "./dial.ts";
import { ProxyError } from "./errors.ts";
import type { Direction } from "./metrics.ts";
import {
  abort,
  OWNER_HANDLERS,
  type OwnedSocket,
  type SocketOwner,
  tuneListener,
  UPGRADED_HANDLERS,
} from "./socket.ts";

export interface ListenOptions {
  readonly host: string;
  readonly port: number;
  readonly what: string;
  /** The accepting side decides when to send its FIN. */
  readonly allowHalfOpen: boolean;
  /** Each socket is upgraded to TLS as it is accepted: what the plain socket goes on telling is of no use. */
  readonly upgraded?: true;
  /** Sets the socket's owner before it returns. */
  readonly accept: (socket: OwnedSocket) => void;
  /** Where it is told of connections that are refused before `accept`: no file descriptor is left for them. */
  readonly direction: Direction;
  readonly accessLog: Pick<AccessLog, "refuse">;
}

export type Listener = Bun.TCPSocketListener<SocketOwner>;

/** The address family or the address is not there: the kernel has no IPv6, or it is off. */
const NO_SUCH_ADDRESS = new Set(["EADDRNOTAVAIL", "EAFNOSUPPORT"]);

/** Throws ProxyError `bind-failed`. */
export function listen(options: ListenOptions): Listener {
  try {
    const listener = Bun.listen<SocketOwner>({
      hostname: options.host,
      port: options.port,
      allowHalfOpen: options.allowHalfOpen,
      data: NOBODY,
      socket: {
        ...(options.upgraded === true ? UPGRADED_HANDLERS : OWNER_HANDLERS),
        open: (socket) =>
          isLastDescriptor(socketDescriptor(socket)) ? refuse(options, socket) : options.accept(socket),
      },
    });
    tuneListener(listener);
    return listener;
  } catch (error) {
    throw bindFailed(options, error);
  }
}

function refuse(options: ListenOptions, socket: OwnedSocket): void {
  const ip = parseIp(socket.remoteAddress);
  const source = ip === undefined ? undefined : { ip, port: socket.remotePort };
  const { direction, accessLog } = options;
  accessLog.refuse({ direction, reason: "failed-overload", source, detail: NO_DESCRIPTORS });
  abort(socket);
}

/** On every host; a host whose address family is not there is left out, unless `needsIpv6` says that it has to be. */
export function listenOnAll(
  hosts: readonly string[],
  options: Omit<ListenOptions, "host">,
  needsIpv6: boolean,
): Listener[] {
  const listeners: Listener[] = [];
  for (const host of hosts) {
    try {
      listeners.push(listen({ ...options, host }));
    } catch (error) {
      const ip = parseIp(host);
      if (lacksAddress(error) && !(needsIpv6 && ip !== undefined && isIpv6(ip)) && host !== hosts[0]) continue;
      for (const listener of listeners) listener.stop(true);
      throw error;
    }
  }
  return listeners;
}

/** On the first host whose address family is there. */
export function listenOnFirst(hosts: readonly string[], options: Omit<ListenOptions, "host">): Listener {
  return firstThatBinds(hosts, (host) => listen({ ...options, host }));
}

/** The answer of `bind` for the first host whose address family is there. */
export function firstThatBinds<T>(hosts: readonly string[], bind: (host: string) => T): T {
  let failure: unknown;
  for (const host of hosts) {
    try {
      return bind(host);
    } catch (error) {
      if (!lacksAddress(error)) throw error;
      failure = error;
    }
  }
  throw failure;
}

export function bindFailed(options: { what: string; host: string; port: number }, cause: unknown): ProxyError {
  const code = errorText(cause);
  const why = code === "EADDRINUSE" ? "another process listens there" : code;
  return new ProxyError(
    "bind-failed",
    `cannot listen on ${options.host} port ${options.port} (${options.what}): ${why}`,
    {
      hint: "Ports 15000 to 15021 of a meshed pod belong to the mesh: find the container that uses one of them.",
      cause,
    },
  );
}

function lacksAddress(error: unknown): boolean {
  return error instanceof ProxyError && NO_SUCH_ADDRESS.has(errorText(error.cause));
}

/** The owner of a socket that was not accepted yet. */
const NOBODY: SocketOwner = {
  opened: () => undefined,
  received: () => undefined,
  writable: () => undefined,
  ended: () => undefined,
  closed: () => undefined,
};
