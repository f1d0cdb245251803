/** The operator, composed: certificates, discovery and reports on one gRPC port, over stores that somebody else fills. */
import * as grpc from "@grpc/grpc-js";
import type { Authority } from "../identity/index.ts";
import {
  type Clock,
  type EndpointsRecord,
  type Ip,
  type Logger,
  type Millis,
  objectKey,
  type PodRecord,
  type ProxySettings,
  Rate,
  type ServiceRecord,
  type Store,
  SYSTEM_NAMESPACE,
  type TulleError,
} from "../mesh/index.ts";
import type {
  DeltaDiscoveryRequest,
  DeltaDiscoveryResponse,
  ReplicaReport,
  ReplicasRequest,
  ReportAck,
  ReportBatch,
} from "../wire/index.ts";
import { TlsAcceptor } from "./acceptor.ts";
import { Authentication } from "./authentication.ts";
import { type Caller, Callers, type TokenReviewer } from "./callers.ts";
import { Catalog } from "./discovery/catalog.ts";
import { DiscoveryStream } from "./discovery/stream.ts";
import { asRefusal, Refusal } from "./errors.ts";
import { type CallerStream, grpcServer } from "./grpc.ts";
import { Issuance } from "./issuance.ts";
import { OpenStreams, type OwnedStream } from "./open-streams.ts";
import { reportToWire } from "./replica-report.ts";
import { checkReport } from "./report-check.ts";
import { LOCAL_REPLICA, type ProxyReport, ReportTable } from "./reports.ts";
import { operatorId, ServerCertificate, type ServerMaterial } from "./server-certificate.ts";

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
  /** Where the operator runs: a part of its DNS name and of its SPIFFE ID. Default tulle-system. */
  readonly namespace?: string;
  readonly listen: { readonly hosts: readonly string[]; readonly port: number };
  /** Addresses that the server certificate names beside the operator's host name. */
  readonly ips: readonly Ip[];
  readonly clock: Clock;
  readonly logger: Logger;
}

/** A proxy sends a batch when its state changes and every 10 s; Bun keeps each acknowledgement that is not read. */
const REPORT_EVERY: Millis = 1_000;
const REPORTS_AT_ONCE = 60;

export class Operator implements Disposable {
  readonly #options: OperatorOptions;
  readonly #namespace: string;
  readonly #catalog: Catalog;
  readonly #reports: ReportTable;
  readonly #certificate: ServerCertificate;
  readonly #issuance: Issuance;
  readonly #server: grpc.Server;
  readonly #acceptor: TlsAcceptor;
  readonly #streams = new OpenStreams();
  readonly #following: Disposable[];
  #reissueEpoch = 0;

  /** Listens at once. Throws OperatorError `bind-failed`, IdentityError when the authority cannot sign. */
  constructor(options: OperatorOptions) {
    this.#options = options;
    this.#namespace = options.namespace ?? SYSTEM_NAMESPACE;
    const { authority, pods, clock, logger } = options;
    this.#certificate = new ServerCertificate(authority, clock, logger, {
      namespace: this.#namespace,
      ips: options.ips,
    });
    this.#catalog = new Catalog({ ...options, trustDomain: authority.trustDomain });
    this.#reports = new ReportTable(clock, pods);
    this.#issuance = new Issuance(authority, logger, options.unfit);
    this.#server = grpcServer({
      authentication: new Authentication(new Callers(options.reviewer, pods, authority.trustDomain), logger, clock),
      issuance: this.#issuance,
      discovery: (stream) => this.#discover(stream),
      reports: (stream) => this.#report(stream),
      replicas: (stream) => this.#tellReplica(stream),
    });
    const injector = this.#server.createConnectionInjector(grpc.ServerCredentials.createInsecure());
    this.#following = [
      this.#catalog.follow((names) => this.#tellAll((discovery) => discovery.catalogChanged(names))),
      pods.follow((change) => {
        const gone = change.before;
        if (gone === undefined) return;
        const left = change.kind === "set" && change.value.uid === gone.uid && !change.value.finished;
        for (const one of this.#streams.of(gone.uid)) {
          // A token outlives its pod; what it opened must not.
          if (!left) one.end(podGone());
          else if (change.value.mode !== gone.mode) this.#tell(one, (discovery) => discovery.stateChanged());
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

  /** Certificates issued to pods so far. */
  get issued(): number {
    return this.#issuance.issued;
  }

  /** By pod uid. */
  get reports(): Store<ProxyReport> {
    return this.#reports.reports;
  }

  /** Where what other replicas hear goes. */
  get reportTable(): Pick<ReportTable, "takeRemote" | "lostReplica"> {
    return this.#reports;
  }

  /** The newest server certificate, for another listener under the same name. */
  get material(): ServerMaterial {
    return this.#certificate.current;
  }

  /** Ranges or bundle may be others now. */
  changed(): void {
    this.#tellAll((discovery) => discovery.stateChanged());
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
    const rate = new Rate(this.#options.clock, REPORT_EVERY, REPORTS_AT_ONCE);
    stream.onRequest = (batch) => {
      if (!rate.take()) throw new Refusal("RESOURCE_EXHAUSTED", "too-many-reports", "reports come too fast");
      this.#reports.take(pod, checkReport(batch), stream);
      stream.send({ sequence: batch.sequence });
    };
    this.#own(stream, undefined, () => this.#reports.ended(pod, stream));
  }

  /** Another replica follows what this one hears itself. */
  #tellReplica(stream: CallerStream<ReplicasRequest, ReplicaReport>): void {
    if (stream.caller.id !== operatorId(this.#options.authority.trustDomain, this.#namespace))
      throw new Refusal("PERMISSION_DENIED", "not-a-replica", "only replicas may follow reports");
    const send = (report: ProxyReport) => {
      if (report.replica === LOCAL_REPLICA) stream.send(reportToWire(report));
    };
    for (const report of this.#reports.reports.values()) send(report);
    const following = this.#reports.reports.follow((change) => {
      if (change.kind === "set") send(change.value);
    });
    this.#own(stream, undefined, () => following[Symbol.dispose]());
  }

  #own<Request, Response>(
    stream: CallerStream<Request, Response>,
    discovery: DiscoveryStream | undefined,
    ended?: () => void,
  ): void {
    const { pod } = stream.caller;
    const owned: OwnedStream = { pod, discovery, end: (why) => stream.refuse(why) };
    stream.onEnd = () => {
      this.#streams.delete(owned);
      ended?.();
    };
    // It may have gone between the review of its token and now.
    if (!this.#lives(pod)) throw podGone();
    this.#streams.add(owned);
  }

  #lives({ namespace, name, uid }: PodRecord): boolean {
    const now = this.#options.pods.get(objectKey(namespace, name));
    return now?.uid === uid && !now.finished;
  }

  #tellAll(what: (discovery: DiscoveryStream) => void): void {
    for (const stream of [...this.#streams]) this.#tell(stream, what);
  }

  /** What goes wrong with one client ends its stream, and must not keep the others from hearing. */
  #tell({ discovery, pod, end }: OwnedStream, what: (discovery: DiscoveryStream) => void): void {
    if (discovery === undefined) return;
    try {
      what(discovery);
    } catch (error) {
      const detail = error instanceof Error ? (error.stack ?? error.message) : String(error);
      this.#options.logger.log("error", "a proxy could not be told", { podUid: pod.uid, error: detail });
      end(asRefusal(error));
    }
  }

  #settings({ pod }: Caller): ProxySettings {
    const { pods, ranges } = this.#options;
    const now = pods.get(objectKey(pod.namespace, pod.name));
    return {
      mode: now?.uid === pod.uid ? now.mode : pod.mode,
      ...ranges(),
      reissueEpoch: this.#reissueEpoch,
    };
  }
}

function podGone(): Refusal {
  return new Refusal("PERMISSION_DENIED", "pod-gone", "the pod is gone");
}
