/** The operator as a proxy sees it: certificates, discovery and reports over gRPC, told what to answer by the test. */
import * as grpc from "@grpc/grpc-js";
import { type Authority, parseSpiffeId, pemDecode, pemEncode } from "../identity/index.ts";
import type { Address, ProxySettings } from "../mesh/index.ts";
import { definition } from "../operator/grpc.ts";
import {
  addressName,
  addressToWire,
  type DeltaDiscoveryRequest,
  type DeltaDiscoveryResponse,
  METHODS,
  type ReportAck,
  type ReportBatch,
  type Resource,
  settingsToWire,
  TYPE_URLS,
  trustBundleToWire,
} from "../wire/index.ts";
import { bindGrpc } from "./grpc-server.ts";

type Reports = grpc.ServerDuplexStream<ReportBatch, ReportAck>;
type Stream = grpc.ServerDuplexStream<DeltaDiscoveryRequest, DeltaDiscoveryResponse>;

export class FakeOperator {
  /** Everything that a proxy may ask for. */
  readonly addresses: Address[] = [];
  settings: ProxySettings = { mode: "strict", podRanges: ["127.0.0.0/8"], serviceRanges: [], reissueEpoch: 0 };
  /** Roots of the trust bundle beside those of the authority. */
  readonly moreRoots: Uint8Array[] = [];
  /** Answers to addresses are held back while it is true. */
  silent = false;
  /** Nothing is answered on a discovery stream while it is true. */
  mute = false;
  /** Certificate requests fail while it is true. */
  refusing = false;
  /** Reports are not acknowledged while it is true. */
  deaf = false;
  /** What came on discovery streams. */
  readonly requests: DeltaDiscoveryRequest[] = [];
  readonly reports: ReportBatch[] = [];
  readonly nacks: string[] = [];
  /** Discovery streams that were opened. */
  streams = 0;
  /** Where each of them came from: one address and port for each connection. */
  readonly peers: string[] = [];
  issued = 0;
  readonly #authority: Authority;
  readonly #server = new grpc.Server();
  readonly #streams = new Set<Stream>();
  readonly #reporters = new Set<Reports>();
  readonly #waiting = new Set<{ readonly holds: () => boolean; readonly resolve: () => void }>();
  #version = 0;
  #port = 0;

  constructor(authority: Authority) {
    this.#authority = authority;
  }

  get port(): number {
    return this.#port;
  }

  /** Tokens are `<namespace>/<service account>`. */
  async start(port = 0): Promise<void> {
    this.#server.addService(
      { createCertificate: definition(METHODS.createCertificate) },
      {
        createCertificate: (
          call: grpc.ServerUnaryCall<{ csr: string }, { certChain: readonly string[] }>,
          done: grpc.sendUnaryData<{ certChain: readonly string[] }>,
        ) => {
          try {
            done(null, { certChain: this.#issue(call.request.csr, tokenOf(call.metadata)) });
          } catch (error) {
            done({ code: grpc.status.PERMISSION_DENIED, details: String(error) });
          }
        },
      },
    );
    this.#server.addService(
      { deltaAggregatedResources: definition(METHODS.deltaAggregatedResources) },
      { deltaAggregatedResources: (stream: Stream) => this.#follow(stream) },
    );
    this.#server.addService(
      { push: definition(METHODS.pushReports) },
      {
        push: (stream: Reports) => {
          this.#reporters.add(stream);
          stream.on("data", (batch: ReportBatch) => {
            this.reports.push(batch);
            if (!this.deaf) stream.write({ sequence: batch.sequence });
            this.#happened();
          });
          stream.on("end", () => stream.end());
          stream.on("close", () => this.#reporters.delete(stream));
          stream.on("error", () => undefined);
        },
      },
    );
    this.#port = await bindGrpc(this.#server, this.#authority, port);
  }

  /** Sends the settings as they are now. */
  pushSettings(): void {
    for (const stream of this.#streams) this.#answer(stream, TYPE_URLS.settings, [this.#settings()], []);
  }

  /** Tells every proxy of an address that appeared or changed. */
  push(address: Address): void {
    for (const stream of this.#streams) this.#answer(stream, TYPE_URLS.address, [this.#resource(address)], []);
  }

  /** Sends a response as it is. */
  send(typeUrl: string, resources: Resource[], removed: string[] = []): void {
    for (const stream of this.#streams) this.#answer(stream, typeUrl, resources, removed);
  }

  /** Ends every discovery stream. */
  cut(): void {
    for (const stream of this.#streams) stream.end();
  }

  /** Ends every stream of reports. */
  cutReports(): void {
    for (const stream of this.#reporters) stream.end();
  }

  /** A proxy wants to know who has the address. */
  asked(ip: string): boolean {
    return this.requests.some((request) => request.resourceNamesSubscribe.includes(`/${ip}`));
  }

  acknowledge(sequence: number): void {
    for (const stream of this.#reporters) stream.write({ sequence });
  }

  /** Resolves once something holds; looked at after each thing that came. */
  until(holds: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.add({ holds, resolve });
      this.#happened();
    });
  }

  stop(): void {
    this.#server.forceShutdown();
  }

  #issue(csrPem: string, token: string): readonly string[] {
    if (this.refusing) throw new Error("the test refuses");
    const [namespace, serviceAccount] = token.split("/");
    const id = parseSpiffeId(`spiffe://${this.#authority.trustDomain}/ns/${namespace}/sa/${serviceAccount}`);
    const [csr] = pemDecode("CERTIFICATE REQUEST", csrPem);
    if (csr === undefined) throw new Error("no CSR");
    const { chain } = this.#authority.issueWorkload({ csr, id, podUid: `${namespace}.${serviceAccount}` });
    this.issued++;
    return [...chain.map((der) => pemEncode("CERTIFICATE", der)), this.#authority.bundle().pem()];
  }

  #follow(stream: Stream): void {
    tokenOf(stream.metadata);
    this.#streams.add(stream);
    this.streams++;
    this.peers.push(stream.getPeer());
    stream.on("data", (request: DeltaDiscoveryRequest) => this.#take(stream, request));
    stream.on("end", () => stream.end());
    stream.on("close", () => this.#streams.delete(stream));
    stream.on("error", () => this.#streams.delete(stream));
  }

  #happened(): void {
    for (const waiter of this.#waiting) {
      if (!waiter.holds()) continue;
      this.#waiting.delete(waiter);
      waiter.resolve();
    }
  }

  #take(stream: Stream, request: DeltaDiscoveryRequest): void {
    this.requests.push(request);
    if (request.errorDetail !== undefined) this.nacks.push(request.errorDetail.message);
    this.#happened();
    if (this.mute) return;
    const { typeUrl, resourceNamesSubscribe: names } = request;
    if (names.length === 0) return;
    if (typeUrl === TYPE_URLS.settings) this.#answer(stream, typeUrl, [this.#settings()], []);
    if (typeUrl === TYPE_URLS.trustBundle) {
      const { sequence, roots } = this.#authority.bundle();
      const bytes = trustBundleToWire({ sequence, roots: [...roots, ...this.moreRoots] });
      this.#answer(stream, typeUrl, [wrap("default", typeUrl, bytes, `${++this.#version}`)], []);
    }
    if (typeUrl !== TYPE_URLS.address || this.silent) return;
    const found = new Map<string, Resource>();
    const absent: string[] = [];
    for (const name of names) {
      const matches = this.addresses.filter((address) => ipsOf(address).some((ip) => `/${ip}` === name));
      if (matches.length === 0) absent.push(name);
      for (const address of matches) {
        for (const one of [address, ...this.#behind(address)]) found.set(addressName(one), this.#resource(one));
      }
    }
    this.#answer(stream, typeUrl, [...found.values()], absent);
  }

  /** A look-up of a virtual address also answers the workloads behind it. */
  #behind(address: Address): Address[] {
    if (address.kind === "workload") return [];
    const key = addressName(address);
    return this.addresses.filter((one) => one.kind === "workload" && Object.hasOwn(one.workload.services, key));
  }

  #settings(): Resource {
    return wrap("default", TYPE_URLS.settings, settingsToWire(this.settings), `${++this.#version}`);
  }

  #resource(address: Address): Resource {
    return wrap(addressName(address), TYPE_URLS.address, addressToWire(address), `${++this.#version}`);
  }

  #answer(stream: Stream, typeUrl: string, resources: Resource[], removedResources: string[]): void {
    const nonce = `${++this.#version}`;
    stream.write({ systemVersionInfo: "", typeUrl, nonce, resources, removedResources });
  }
}

/** A resource as it is on the wire. */
export function wrap(name: string, typeUrl: string, value: Uint8Array, version: string): Resource {
  return { name, version, aliases: [], resource: { typeUrl, value } };
}

function ipsOf(address: Address): readonly string[] {
  return address.kind === "workload" ? address.workload.ips : address.service.vips;
}

function tokenOf(metadata: grpc.Metadata): string {
  const [value] = metadata.get("authorization");
  const token = /^Bearer (\S+)$/.exec(String(value))?.[1];
  if (token === undefined) throw new Error("no token");
  return token;
}
