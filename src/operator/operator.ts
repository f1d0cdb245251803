/** The operator, composed: certificates, discovery and reports on one gRPC port, over stores that somebody else fills. */
import * as grpc from "@grpc/grpc-js";
import type { Authority } from "../identity/index.ts";
import {
  type Clock,
  type EndpointsRecord,
  type Ip,
  type Logger,
  OPERATOR_HOST,
  type PodRecord,
  type ProxySettings,
  type ServiceRecord,
  type Store,
  type TulleError,
} from "../mesh/index.ts";
import type { DeltaDiscoveryRequest, DeltaDiscoveryResponse, ReportAck, ReportBatch } from "../wire/index.ts";
import { TlsAcceptor } from "./acceptor.ts";
import { type Caller, Callers, type TokenReviewer } from "./callers.ts";
import { Catalog } from "./discovery/catalog.ts";
import { DiscoveryStream } from "./discovery/stream.ts";
import { Refusal } from "./errors.ts";
import { type CallerStream, grpcServer } from "./grpc.ts";
import { Issuance } from "./issuance.ts";
import { type ProxyReport, ReportTable } from "./reports.ts";
import { ServerCertificate, type ServerMaterial } from "./server-certificate.ts";

export interface OperatorOptions {
  readonly authority: Authority;
  readonly reviewer: TokenReviewer;
  readonly pods: Store<PodRecord>;
  readonly services: Store<ServiceRecord>;
  readonly endpoints: Store<EndpointsRecord>;
  /** CIDRs of pods and Services: what lies inside never passes for want of an answer. Asked again after `changed`. */
  readonly ranges: () => Pick<ProxySettings, "podRanges" | "serviceRanges">;
  /** Why nothing may be signed now; undefined while all is well. */
  readonly unfit?: () => TulleError | undefined;
  /** The DNS name by which proxies reach the operator. */
  readonly host?: string;
  readonly listen: { readonly hosts: readonly string[]; readonly port: number };
  /** Addresses that the server certificate names beside the operator's host name. */
  readonly ips: readonly Ip[];
  readonly clock: Clock;
  readonly logger: Logger;
}

/** An open call of a pod. */
interface OwnedStream {
  readonly caller: Caller;
  /** Undefined for a stream of reports. */
  readonly discovery: DiscoveryStream | undefined;
  readonly end: (why: Refusal) => void;
}

export class Operator implements Disposable {
  readonly #options: OperatorOptions;
  readonly #catalog: Catalog;
  readonly #reports: ReportTable;
  readonly #certificate: ServerCertificate;
  readonly #server: grpc.Server;
  readonly #acceptor: TlsAcceptor;
  readonly #streams = new Set<OwnedStream>();
  readonly #following: Disposable[];
  #reissueEpoch = 0;

  /** Listens at once. Throws OperatorError `bind-failed`, IdentityError when the authority cannot sign. */
  constructor(options: OperatorOptions) {
    this.#options = options;
    const { authority, pods, clock, logger } = options;
    this.#certificate = new ServerCertificate(authority, clock, logger, {
      host: options.host ?? OPERATOR_HOST,
      ips: options.ips,
    });
    this.#catalog = new Catalog({ ...options, trustDomain: authority.trustDomain });
    this.#reports = new ReportTable(clock, pods);
    this.#server = grpcServer({
      callers: new Callers(options.reviewer, pods, authority.trustDomain),
      issuance: new Issuance(authority, logger, options.unfit),
      logger,
      discovery: (stream) => this.#discover(stream),
      reports: (stream) => this.#report(stream),
    });
    const injector = this.#server.createConnectionInjector(grpc.ServerCredentials.createInsecure());
    this.#following = [
      this.#catalog.follow((names) => {
        for (const { discovery } of this.#streams) discovery?.catalogChanged(names);
      }),
      pods.follow((change) => {
        const gone = change.before;
        if (gone === undefined) return;
        const left = change.kind === "set" && change.value.uid === gone.uid && !change.value.finished;
        for (const one of [...this.#streams]) {
          if (one.caller.pod.uid !== gone.uid) continue;
          // A token outlives its pod; what it opened must not.
          if (!left) one.end(new Refusal("PERMISSION_DENIED", "pod-gone", "the pod is gone"));
          else if (change.value.mode !== gone.mode) one.discovery?.stateChanged();
        }
      }),
    ];
    try {
      this.#acceptor = new TlsAcceptor({
        ...options.listen,
        what: "certificates, discovery and reports",
        protocol: "h2",
        material: () => this.#certificate.current,
        clock,
        logger,
        onConnection: (connection) => injector.injectConnection(connection),
      });
    } catch (error) {
      this.#close();
      throw error;
    }
    logger.log("info", "operator listens", { port: this.#acceptor.port, rootKeyId: authority.rootKeyId });
  }

  /** The bound port. */
  get port(): number {
    return this.#acceptor.port;
  }

  /** By pod uid. */
  get reports(): Store<ProxyReport> {
    return this.#reports.reports;
  }

  /** The newest server certificate, for another listener under the same name. */
  get material(): ServerMaterial {
    return this.#certificate.current;
  }

  /** Ranges or bundle may be others now. */
  changed(): void {
    for (const { discovery } of this.#streams) discovery?.stateChanged();
  }

  get reissueEpoch(): number {
    return this.#reissueEpoch;
  }

  /** Makes every proxy ask for a new certificate with a new key. Answers the epoch that they will report. */
  reissue(): number {
    this.#reissueEpoch++;
    this.changed();
    return this.#reissueEpoch;
  }

  /** Cuts every call and connection. */
  [Symbol.dispose](): void {
    this.#acceptor[Symbol.dispose]();
    this.#close();
  }

  #close(): void {
    this.#server.forceShutdown();
    for (const following of this.#following) following[Symbol.dispose]();
    this.#reports[Symbol.dispose]();
    this.#catalog[Symbol.dispose]();
    this.#certificate[Symbol.dispose]();
  }

  #discover(stream: CallerStream<DeltaDiscoveryRequest, DeltaDiscoveryResponse>): void {
    const { authority, logger } = this.#options;
    const state = {
      catalog: this.#catalog,
      settings: (caller: Caller) => this.#settings(caller),
      bundle: () => authority.bundle(),
    };
    const discovery = new DiscoveryStream(stream.caller, state, logger, stream.send);
    stream.onRequest = (request) => discovery.receive(request);
    this.#own(stream, discovery);
  }

  #report(stream: CallerStream<ReportBatch, ReportAck>): void {
    const { pod } = stream.caller;
    stream.onRequest = (batch) => {
      this.#reports.take(pod, batch, stream);
      stream.send({ sequence: batch.sequence });
    };
    this.#own(stream, undefined, () => this.#reports.ended(pod, stream));
  }

  #own<Request, Response>(
    stream: CallerStream<Request, Response>,
    discovery: DiscoveryStream | undefined,
    ended?: () => void,
  ): void {
    const owned: OwnedStream = { caller: stream.caller, discovery, end: (why) => stream.refuse(why) };
    this.#streams.add(owned);
    stream.onEnd = () => {
      this.#streams.delete(owned);
      ended?.();
    };
  }

  #settings({ pod }: Caller): ProxySettings {
    const { pods, ranges } = this.#options;
    const now = pods.get(`${pod.namespace}/${pod.name}`);
    return {
      mode: now?.uid === pod.uid ? now.mode : pod.mode,
      ...ranges(),
      reissueEpoch: this.#reissueEpoch,
    };
  }
}
