/** A real operator on loopback over stores that the test fills, and grpc-js as a client that knows nothing of Tulle. */
import * as grpc from "@grpc/grpc-js";
import { systemClock, systemRandom } from "../cli/system.ts";
import { Authority, createCsr, KeyPair, parseSpiffeId, parseTrustDomain, pemEncode } from "../identity/index.ts";
import {
  type Clock,
  type EndpointsRecord,
  type Ip,
  MemoryStore,
  OPERATOR_HOST,
  objectKey,
  type PodRecord,
  type ServiceRecord,
} from "../mesh/index.ts";
import { Operator, type OperatorOptions } from "../operator/index.ts";
import type { DeltaDiscoveryRequest, Method, ReportBatch } from "../wire/index.ts";
import { FakeTokenReviewer } from "./fake-token-reviewer.ts";
import { MemoryLogger } from "./memory-logger.ts";

export class OperatorStage implements Disposable {
  readonly authority: Authority;
  readonly reviewer = new FakeTokenReviewer();
  readonly pods = new MemoryStore<PodRecord>();
  readonly services = new MemoryStore<ServiceRecord>();
  readonly endpoints = new MemoryStore<EndpointsRecord>();
  readonly logger = new MemoryLogger();
  readonly operator: Operator;
  readonly #clients: grpc.Client[] = [];

  /** `where`: where it listens, and the ranges of the mesh, unless on a port of 127.0.0.1. */
  constructor(
    clock: Clock = systemClock,
    where: Pick<OperatorOptions, "ranges" | "listen" | "ips"> = {
      ranges: () => ({ podRanges: ["10.244.0.0/16"], serviceRanges: ["10.96.0.0/12"] }),
      listen: { hosts: ["127.0.0.1"], port: 0 },
      ips: ["127.0.0.1" as Ip],
    },
  ) {
    this.authority = Authority.create({ trustDomain: parseTrustDomain("cluster.local"), clock, random: systemRandom });
    this.operator = new Operator({
      authority: this.authority,
      reviewer: this.reviewer,
      pods: this.pods,
      services: this.services,
      endpoints: this.endpoints,
      ...where,
      clock,
      logger: this.logger,
    });
  }

  /** The pod exists. Answers a token that is bound to it. */
  add(pod: PodRecord): string {
    this.pods.set(objectKey(pod.namespace, pod.name), pod);
    return this.reviewer.tokenOf(pod);
  }

  remove(pod: PodRecord): void {
    this.pods.delete(objectKey(pod.namespace, pod.name));
  }

  /** A connection of its own. */
  client(): grpc.Client {
    const credentials = grpc.credentials.createSsl(Buffer.from(this.authority.bundle().pem()));
    const client = new grpc.Client(`127.0.0.1:${this.operator.port}`, credentials, {
      "grpc.ssl_target_name_override": OPERATOR_HOST,
      "grpc.default_authority": OPERATOR_HOST,
      "grpc.use_local_subchannel_pool": 1,
      "grpc.initial_reconnect_backoff_ms": 100,
    });
    this.#clients.push(client);
    return client;
  }

  [Symbol.dispose](): void {
    for (const client of this.#clients) client.close();
    this.operator[Symbol.dispose]();
  }
}

/** The metadata of a call with this token. */
export function bearer(token: string): grpc.Metadata {
  const metadata = new grpc.Metadata();
  metadata.set("authorization", `Bearer ${token}`);
  return metadata;
}

/** A unary call. Rejects with grpc.ServiceError. */
export function unary<Request, Response>(
  client: grpc.Client,
  method: Method<Request, Response>,
  request: Request,
  metadata: grpc.Metadata,
): Promise<Response> {
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(
      method.path,
      (message: Request) => Buffer.from(method.encodeRequest(message)),
      method.decodeResponse,
      request,
      metadata,
      (error, answer) => (error === null && answer !== undefined ? resolve(answer) : reject(error)),
    );
  });
}

/** A stream whose messages and end can be awaited. */
export class ClientStream<Request, Response> {
  readonly call: grpc.ClientDuplexStream<Request, Response>;
  /** How it ended. */
  readonly ended: Promise<grpc.StatusObject>;
  /** Every message so far. */
  readonly received: Response[] = [];
  #taken = 0;
  #wake: (() => void) | undefined;

  /** `reading`: false leaves every message with the server until `call.resume()`. */
  constructor(client: grpc.Client, method: Method<Request, Response>, metadata: grpc.Metadata, reading = true) {
    this.call = client.makeBidiStreamRequest(
      method.path,
      (message: Request) => Buffer.from(method.encodeRequest(message)),
      method.decodeResponse,
      metadata,
    );
    this.ended = new Promise((resolve) => this.call.on("status", resolve));
    this.call.on("error", () => undefined);
    if (reading) {
      this.call.on("data", (message: Response) => {
        this.received.push(message);
        this.#wake?.();
      });
    }
  }

  send(request: Request): void {
    this.call.write(request);
  }

  /** The next message; rejects when the call ends before. */
  async next(): Promise<Response> {
    while (this.received.length <= this.#taken) {
      const woken = new Promise<undefined>((resolve) => {
        this.#wake = () => resolve(undefined);
      });
      const ended = await Promise.race([woken, this.ended]);
      if (ended !== undefined && this.received.length <= this.#taken) {
        throw new Error(`the call ended with ${ended.code}: ${ended.details}`);
      }
    }
    return this.received[this.#taken++] as Response;
  }
}

/** A discovery request with nothing in it but what the test says. */
export function discoveryRequest(parts: Partial<DeltaDiscoveryRequest>): DeltaDiscoveryRequest {
  return {
    node: undefined,
    typeUrl: "",
    resourceNamesSubscribe: [],
    resourceNamesUnsubscribe: [],
    initialResourceVersions: new Map(),
    responseNonce: "",
    errorDetail: undefined,
    ...parts,
  };
}

/** A report of a proxy that has seen nothing yet. */
export function reportBatch(parts: Partial<ReportBatch> = {}): ReportBatch {
  return {
    sequence: 1,
    clockMillis: 0,
    startedMillis: 0,
    proxyVersion: "test",
    bundleSequence: 1,
    reissueEpoch: 0,
    leaf: undefined,
    draining: false,
    counters: [],
    edges: [],
    edgesDropped: 0,
    ...parts,
  };
}

/** A new key's request for this identity, in PEM. */
export function csrPem(id: string): string {
  return pemEncode("CERTIFICATE REQUEST", createCsr(KeyPair.generate(), parseSpiffeId(id)));
}
