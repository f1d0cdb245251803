/** The whole proxy: builds its parts, starts them in the right order, ends them. */
import type { Clock, Ip, Logger, Millis, Random } from "../mesh/index.ts";
import { METHODS } from "../wire/index.ts";
import { AccessLog } from "./access-log.ts";
import { AppProber } from "./app-probes.ts";
import { CertificateStore } from "./certificates.ts";
import type { ProxyConfig } from "./config.ts";
import { Discovery } from "./discovery.ts";
import { EdgeTable } from "./edges.ts";
import { GrpcClient } from "./grpc-client.ts";
import type { PodNetwork } from "./guard.ts";
import { HttpListener } from "./http.ts";
import { IdentityFiles } from "./identity-files.ts";
import { InboundListener } from "./inbound.ts";
import { type MetricSources, Metrics, renderMetrics } from "./metrics.ts";
import { OutboundListener } from "./outbound.ts";
import { PlaintextListener } from "./plaintext.ts";
import { TunnelPool } from "./pool.ts";
import { Reporter } from "./reports.ts";
import { reportDefects } from "./socket.ts";
import { TrustStore } from "./trust.ts";

export interface ProxyDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** What `tulle_build_info` and the operator are told. */
  readonly version: string;
}

const REQUEST_DEADLINE: Millis = 10_000;
/** After SIGTERM the application has ended, so this is for what is on its way; 2 s in all (ARCHITECTURE.md "Lifecycle"). */
const DRAIN_LIMIT: Millis = 1_500;
const DRAIN_POLL: Millis = 20;
/** For the operator to acknowledge the last report. */
const FLUSH_LIMIT: Millis = 500;

/** One running proxy. Made by `start`, ended by `stop`. */
export class Sidecar {
  readonly metrics = new Metrics();
  readonly #config: ProxyConfig;
  readonly #network: PodNetwork;
  readonly #deps: ProxyDeps;
  readonly #grpc: GrpcClient;
  readonly #trust: TrustStore;
  readonly #certificates: CertificateStore;
  readonly #discovery: Discovery;
  readonly #reporter: Reporter;
  readonly #pool: TunnelPool;
  readonly #accessLog: AccessLog;
  readonly #prober: AppProber;
  readonly #servers: HttpListener[] = [];
  readonly #synced = Promise.withResolvers<void>();
  #outbound: OutboundListener | undefined;
  #inbound: InboundListener | undefined;
  #plaintext: PlaintextListener | undefined;
  #ready = false;
  #draining = false;

  constructor(config: ProxyConfig, network: PodNetwork, deps: ProxyDeps) {
    const { clock, random, logger, version } = deps;
    this.#config = config;
    this.#network = network;
    this.#deps = deps;
    const files = new IdentityFiles(config.identityDirectory);
    const edges = new EdgeTable(clock);
    this.#accessLog = new AccessLog(this.metrics, logger, clock, edges);
    this.#prober = new AppProber({ probes: config.probes, ip: network.ips[0] as Ip, clock, version });
    this.#trust = new TrustStore(files);
    this.#grpc = new GrpcClient({
      address: config.operator,
      clock,
      roots: async () => (await this.#trust.operatorRoots()).pem(),
      token: () => files.token(),
    });
    this.#certificates = new CertificateStore({
      id: config.id,
      trust: this.#trust,
      epoch: () => this.#discovery.settings?.reissueEpoch ?? 0,
      request: async (csr) => {
        const request = { csr, validityDuration: 0, metadata: undefined };
        return (await this.#grpc.unary(METHODS.createCertificate, request, REQUEST_DEADLINE)).certChain;
      },
      clock,
      random,
      logger,
      metrics: this.metrics,
      onIssued: () => this.#changed(),
    });
    this.#discovery = new Discovery({
      config,
      version,
      grpc: this.#grpc,
      trust: this.#trust,
      clock,
      random,
      logger,
      onChange: () => this.#changed(),
    });
    this.#reporter = new Reporter({
      grpc: this.#grpc,
      clock,
      random,
      logger,
      sources: {
        version,
        metrics: this.metrics,
        edges,
        bundleSequence: () => this.#trust.live?.sequence ?? 0,
        reissueEpoch: () => this.#discovery.settings?.reissueEpoch ?? 0,
        certificate: () => this.#certificates.certificate,
        draining: () => this.#draining,
      },
    });
    this.#pool = new TunnelPool({
      id: config.id,
      credentials: this.#certificates,
      clock,
      metrics: this.metrics,
      hbonePort: network.ports.hbone,
    });
  }

  /**
   * Resolves once the proxy takes traffic. Only metrics and readiness listen before the first settings, bundle and
   * certificate are there: a listener before the first policy sync could let something through (Cilium GO-2024-3072).
   * Throws ProxyError `bind-failed`. After a throw, `stop` still has to be called.
   */
  async start(signal: AbortSignal): Promise<void> {
    const { logger } = this.#deps;
    reportDefects((error) =>
      logger.log("error", "defect in a socket's callback", { error: error.stack ?? error.message }),
    );
    this.#serve();
    this.#discovery.start();
    const aborted = new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
    if (!signal.aborted) await Promise.race([this.#synced.promise, aborted]);
    if (signal.aborted) return;
    this.#listen();
    this.#reporter.start();
    this.#ready = true;
    logger.log("info", "ready", { identity: this.#config.id });
  }

  /** Takes nothing new, lets what is open end, then cuts it; says its last word to the operator. Ends within 2 s. */
  async stop(): Promise<void> {
    const { logger } = this.#deps;
    this.#ready = false;
    this.#draining = true;
    this.#reporter.changed();
    this.#outbound?.stop();
    this.#plaintext?.stop();
    this.#inbound?.drain();
    await this.#drained();
    const cut = this.#active();
    if (cut > 0) logger.log("info", "connections cut at the end of the drain", { connections: cut });
    this.#outbound?.[Symbol.dispose]();
    this.#plaintext?.[Symbol.dispose]();
    this.#inbound?.[Symbol.dispose]();
    this.#pool[Symbol.dispose]();
    this.#reporter.changed();
    await this.#reported();
    this.#prober[Symbol.dispose]();
    this.#reporter[Symbol.dispose]();
    this.#discovery[Symbol.dispose]();
    this.#certificates[Symbol.dispose]();
    this.#grpc[Symbol.dispose]();
    await Promise.all(this.#servers.map((server) => server.stop()));
    logger.log("info", "stopped");
  }

  #serve(): void {
    const { inboundHosts, ports } = this.#network;
    const { clock } = this.#deps;
    const sources: MetricSources = {
      certificateExpiry: () => this.#certificates.certificate?.notAfter,
      bundleSequence: () => this.#trust.live?.sequence,
      discoveryConnected: () => this.#discovery.connected,
      discoveryEntries: () => this.#discovery.resolver.size,
      ready: () => this.#ready,
      outboundTunnels: () => this.#pool.size,
      inboundTunnels: () => this.#inbound?.size ?? 0,
    };
    this.#servers.push(
      new HttpListener({
        clock,
        hosts: inboundHosts,
        port: ports.metrics,
        what: "metrics",
        path: "/metrics",
        others: this.#prober,
        answer: () =>
          new Response(renderMetrics(this.metrics, sources, { version: this.#deps.version }), {
            headers: { "content-type": "text/plain; version=0.0.4; charset=utf-8" },
          }),
      }),
    );
    this.#servers.push(
      new HttpListener({
        clock,
        hosts: inboundHosts,
        port: ports.readiness,
        what: "readiness",
        path: "/healthz/ready",
        // Never unready again because the operator is away: only by its own end.
        answer: () => (this.#ready ? new Response("ready\n") : new Response(this.#missing(), { status: 503 })),
      }),
    );
  }

  #missing(): string {
    if (this.#draining) return "stopping\n";
    const missing: string[] = [];
    if (this.#discovery.settings === undefined) missing.push("settings");
    if (this.#trust.live === undefined) missing.push("trust bundle");
    if (this.#certificates.current() === undefined) missing.push("certificate");
    return missing.length === 0 ? "listeners are not bound yet\n" : `waiting for ${missing.join(", ")}\n`;
  }

  #listen(): void {
    const { clock } = this.#deps;
    const shared = { network: this.#network, clock, metrics: this.metrics, accessLog: this.#accessLog };
    this.#inbound = new InboundListener({
      ...shared,
      trustDomain: this.#config.trustDomain,
      credentials: this.#certificates,
      authorize: () => undefined,
    });
    this.#plaintext = new PlaintextListener({ ...shared, mode: () => this.#discovery.settings?.mode ?? "strict" });
    this.#outbound = new OutboundListener({ ...shared, resolver: this.#discovery.resolver, pool: this.#pool });
  }

  /** Something came into force: settings, bundle or certificate. */
  #changed(): void {
    // The first certificate is asked for after the first settings, so that its epoch is known to be theirs.
    if (this.#discovery.settings !== undefined) this.#certificates.start();
    this.#reporter.changed();
    if (this.#discovery.settings === undefined || this.#certificates.current() === undefined) return;
    this.#synced.resolve();
  }

  #active(): number {
    const { inbound, outbound } = this.metrics;
    return inbound.opened - inbound.closed + outbound.opened - outbound.closed;
  }

  /** Until nothing is open or the time is up: by a timer, because the wall clock may be set back meanwhile. */
  async #drained(): Promise<void> {
    const { clock } = this.#deps;
    let late = false;
    const deadline = clock.after(DRAIN_LIMIT, () => {
      late = true;
    });
    while (this.#active() > 0 && !late) {
      await new Promise<void>((resolve) => clock.after(DRAIN_POLL, resolve));
    }
    deadline[Symbol.dispose]();
  }

  async #reported(): Promise<void> {
    const late = Promise.withResolvers<void>();
    const deadline = this.#deps.clock.after(FLUSH_LIMIT, late.resolve);
    await Promise.race([this.#reporter.settled(), late.promise]);
    deadline[Symbol.dispose]();
  }
}
