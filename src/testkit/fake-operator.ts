/** The operator as a proxy sees it: certificates, discovery and reports over gRPC, told what to answer by the test. */
import * as grpc from "@grpc/grpc-js";
import { type Authority, parseSpiffeId, pemDecode, pemEncode } from "../identity/index.ts";
import type { Address, ProxySettings } from "../mesh/index.ts";
import {
  addressName,
  addressToWire,
  type DeltaDiscoveryRequest,
  type DeltaDiscoveryResponse,
  METHODS,
  type ReportBatch,
  type Resource,
  settingsToWire,
  TYPE_URLS,
  trustBundleToWire,
} from "../wire/index.ts";
import { bindGrpc, definition } from "./grpc-server.ts";

type Stream = grpc.ServerDuplexStream<DeltaDiscoveryRequest, DeltaDiscoveryResponse>;

export class FakeOperator {
  /** Everything that a proxy may ask for. */
  readonly addresses: Address[] = [];
  settings: ProxySettings = { mode: "strict", podRanges: ["127.0.0.0/8"], serviceRanges: [], reissueEpoch: 0 };
  /** Answers to addresses are held back while it is true. */
  silent = false;
  /** Certificate requests fail while it is true. */
  refusing = false;
  readonly reports: ReportBatch[] = [];
  readonly nacks: string[] = [];
  issued = 0;
  readonly #authority: Authority;
  readonly #server = new grpc.Server();
  readonly #streams = new Set<Stream>();
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
        push: (stream: grpc.ServerDuplexStream<ReportBatch, { sequence: number }>) => {
          stream.on("data", (batch: ReportBatch) => {
            this.reports.push(batch);
            stream.write({ sequence: batch.sequence });
          });
          stream.on("end", () => stream.end());
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

  /** Ends every discovery stream. */
  cut(): void {
    for (const stream of this.#streams) stream.end();
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
    stream.on("data", (request: DeltaDiscoveryRequest) => this.#take(stream, request));
    stream.on("end", () => stream.end());
    stream.on("close", () => this.#streams.delete(stream));
    stream.on("error", () => this.#streams.delete(stream));
  }

  #take(stream: Stream, request: DeltaDiscoveryRequest): void {
    if (request.errorDetail !== undefined) this.nacks.push(request.errorDetail.message);
    const { typeUrl, resourceNamesSubscribe: names } = request;
    if (names.length === 0) return;
    if (typeUrl === TYPE_URLS.settings) this.#answer(stream, typeUrl, [this.#settings()], []);
    if (typeUrl === TYPE_URLS.trustBundle) {
      const bytes = trustBundleToWire(this.#authority.bundle());
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

function wrap(name: string, typeUrl: string, value: Uint8Array, version: string): Resource {
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
