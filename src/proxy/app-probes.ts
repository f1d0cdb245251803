/**
 * The application's probes and lifecycle handlers on 15020. The kubelet asks here because a strict pod would refuse it; the
 * real handler goes to the application on the pod's own address. Only what the pod's specification declared can be
 * triggered, and one handler runs once at a time however many ask, so a stranger can neither choose a target nor pile up
 * requests.
 */
import { type AppProbe, type AppProbes, type Clock, formatAuthority, type Ip, isHookPath } from "../mesh/index.ts";
import { Dial } from "./dial.ts";
import { probeGrpc } from "./probe-grpc.ts";
import { probeError, probeHttp } from "./probe-http.ts";

/** Undefined: it succeeded; otherwise why it did not. */
type Verdict = string | undefined;

const LONGEST_TIMEOUT_SECONDS = 2 ** 31 / 1000 - 1;

export interface AppProberOptions {
  readonly probes: AppProbes;
  /** The pod's primary address: where the kubelet would have gone. */
  readonly ip: Ip;
  readonly clock: Clock;
  readonly version: string;
}

export class AppProber implements Disposable {
  readonly #options: AppProberOptions;
  readonly #running = new Map<string, Promise<Verdict>>();
  readonly #abort = new AbortController();

  constructor(options: AppProberOptions) {
    this.#options = options;
  }

  /** True when something is declared on this path. */
  has(path: string): boolean {
    return Object.hasOwn(this.#options.probes, path);
  }

  /** Makes what is declared on the path, and tells how it went in the way the kubelet understands. */
  async answer(path: string, request: Request, server: Bun.Server<undefined>): Promise<Response> {
    const probe = this.#options.probes[path];
    if (probe === undefined || !this.has(path)) return new Response("not found\n", { status: 404 });
    // Its own deadline counts, not the listener's for idle connections.
    server.timeout(request, 0);
    const failure = await this.#once(path, probe);
    if (failure === undefined) return new Response("ok\n");
    if (!isHookPath(path)) return new Response(`${failure}\n`, { status: 503 });
    // To the kubelet any answer to a lifecycle handler is a success: only a connection that ends without one fails.
    server.timeout(request, 1);
    return new Promise<Response>(() => undefined);
  }

  /** Ends what runs; it counts as failed. */
  [Symbol.dispose](): void {
    this.#abort.abort();
  }

  #once(path: string, probe: AppProbe): Promise<Verdict> {
    const running = this.#running.get(path);
    if (running !== undefined) return running;
    const made = this.#make(probe, isHookPath(path)).finally(() => this.#running.delete(path));
    this.#running.set(path, made);
    return made;
  }

  async #make(probe: AppProbe, hook: boolean): Promise<Verdict> {
    const { ip, clock, version } = this.#options;
    const { port } = probe;
    const expired = new AbortController();
    const seconds = probe.timeoutSeconds;
    const timer =
      seconds === undefined
        ? undefined
        : clock.after(Math.min(seconds, LONGEST_TIMEOUT_SECONDS) * 1000, () => expired.abort());
    const signal = AbortSignal.any([expired.signal, this.#abort.signal]);
    const userAgent = `kube-${hook ? "lifecycle" : "probe"}/tulle-${version}`;
    try {
      if (probe.httpGet !== undefined) {
        const status = await probeHttp({ get: probe.httpGet, ip, port, userAgent, signal });
        return hook || (status >= 200 && status < 400) ? undefined : `the application answered ${status}`;
      }
      if (probe.grpc !== undefined) {
        await probeGrpc({ service: probe.grpc.service ?? "", ip, port, userAgent, clock, signal });
        return undefined;
      }
      await probeTcp(clock, ip, port, signal);
      return undefined;
    } catch (error) {
      if (expired.signal.aborted) return `no answer within ${seconds} s`;
      return `${formatAuthority(ip, port)}: ${probeError(error)}`;
    } finally {
      timer?.[Symbol.dispose]();
    }
  }
}

/** Resolves once connected. */
function probeTcp(clock: Clock, ip: Ip, port: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const dial = new Dial(clock, ip, port, {
      onOpen(socket) {
        socket.end();
        resolve();
      },
      onFailed: (detail) => reject(new Error(detail)),
    });
    signal.addEventListener(
      "abort",
      () => {
        dial.cancel();
        reject(new Error("timed out"));
      },
      { once: true },
    );
  });
}
