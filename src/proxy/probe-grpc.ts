/**
 * A gRPC probe as the kubelet makes it (pkg/probe/grpc): `grpc.health.v1.Health/Check` in plaintext HTTP/2, on tunnel/'s
 * own HTTP/2 because grpc-js would cost the sidecar 30 MB.
 */
import { type Clock, formatAuthority, type Ip } from "../mesh/index.ts";
import type { ConnectionHandler, HeaderList, Http2Connection } from "../tunnel/index.ts";
import type { Method } from "../wire/index.ts";
import { Dial, type DialObserver } from "./dial.ts";
import { Call } from "./grpc-client.ts";
import { STATUS } from "./grpc-status.ts";
import { Http2Socket } from "./http2-socket.ts";
import type { OwnedSocket } from "./socket.ts";

/** HealthCheckResponse.ServingStatus. */
const SERVING = 1;
const SERVING_NAMES = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];

/** Both messages have one field, number 1, so they need no generated codec. */
const CHECK: Method<string, number> = {
  path: "/grpc.health.v1.Health/Check",
  requestStream: false,
  responseStream: false,
  encodeRequest: (service) => {
    const text = new TextEncoder().encode(service);
    if (text.length === 0) return text;
    return new Uint8Array([0x0a, ...varint(text.length), ...text]);
  },
  decodeRequest: () => {
    throw new Error("a probe is never a server");
  },
  encodeResponse: () => {
    throw new Error("a probe is never a server");
  },
  decodeResponse: decodeStatus,
};

export interface GrpcProbe {
  readonly service: string;
  readonly ip: Ip;
  readonly port: number;
  readonly userAgent: string;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** Resolves when the server says SERVING; rejects with an Error that says what it did instead. */
export function probeGrpc(probe: GrpcProbe): Promise<void> {
  return new Promise((resolve, reject) => new GrpcCheck(probe, resolve, reject));
}

class GrpcCheck implements DialObserver, ConnectionHandler {
  readonly #probe: GrpcProbe;
  readonly #resolve: () => void;
  readonly #reject: (error: Error) => void;
  readonly #dial: Dial;
  readonly #onAbort = () => this.#end("timed out");
  #socket: OwnedSocket | undefined;
  #connection: Http2Connection | undefined;
  #over = false;

  constructor(probe: GrpcProbe, resolve: () => void, reject: (error: Error) => void) {
    this.#probe = probe;
    this.#resolve = resolve;
    this.#reject = reject;
    probe.signal.addEventListener("abort", this.#onAbort, { once: true });
    this.#dial = new Dial(probe.clock, probe.ip, probe.port, this);
  }

  onOpen(socket: OwnedSocket): void {
    this.#socket = socket;
    const { clock } = this.#probe;
    const onClosed = () => this.#end("the server closed the connection");
    this.#connection = new Http2Socket(socket, { role: "client", clock, handler: this, onClosed }).connection;
  }

  onFailed(detail: string): void {
    this.#end(detail);
  }

  onReady(): void {
    const { service, ip, port, userAgent } = this.#probe;
    let status = -1;
    const call = new Call(CHECK, {
      onMessage: (message) => (status = message),
      onEnd: (end) => {
        if (end.code !== STATUS.ok) this.#end(`the health service answered status ${end.code}: ${end.message}`);
        else if (status === SERVING) this.#end(undefined);
        else this.#end(`the service is ${SERVING_NAMES[status] ?? "in an unknown state"}`);
      },
    });
    const connection = this.#connection;
    if (connection === undefined || this.#over) return;
    const head: HeaderList = [
      [":method", "POST"],
      [":scheme", "http"],
      [":path", CHECK.path],
      [":authority", formatAuthority(ip, port)],
      ["content-type", "application/grpc"],
      ["te", "trailers"],
      ["user-agent", userAgent],
    ];
    try {
      call.start(connection.request(head, call));
    } catch (error) {
      // The server's SETTINGS allow no stream, or no head as long as this.
      return this.#end(error instanceof Error ? error.message : String(error));
    }
    call.send(service);
    call.finish();
  }

  onStream(): undefined {
    return undefined;
  }

  onClose(error: Error | undefined): void {
    this.#end(error?.message ?? "the connection ended before an answer");
  }

  /** Undefined: serving. */
  #end(why: string | undefined): void {
    if (this.#over) return;
    this.#over = true;
    this.#probe.signal.removeEventListener("abort", this.#onAbort);
    this.#dial.cancel();
    if (why === undefined) {
      this.#resolve();
      this.#connection?.goAway();
    } else {
      this.#reject(new Error(why));
      this.#socket?.terminate();
    }
  }
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 127; rest >>>= 7) bytes.push((rest & 127) | 128);
  bytes.push(rest);
  return bytes;
}

/** The last field 1 of wire type 0; absent means UNKNOWN. Throws on anything that is no varint field. */
export function decodeStatus(bytes: Uint8Array): number {
  let status = 0;
  let at = 0;
  const next = (): number => {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = bytes[at++];
      if (byte === undefined) break;
      value |= (byte & 127) << shift;
      if (byte < 128) return value;
    }
    throw new Error("a truncated HealthCheckResponse");
  };
  while (at < bytes.length) {
    const tag = next();
    if ((tag & 7) !== 0) throw new Error("an unknown field in HealthCheckResponse");
    const value = next();
    if (tag >>> 3 === 1) status = value;
  }
  return status;
}
