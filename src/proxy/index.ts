/**
 * proxy: the sidecar. Captures the pod's connections, carries them over mutual TLS to the identity that discovery named,
 * and lets in what proves an identity of its own trust domain. It speaks only gRPC to the operator, and it never lets a
 * connection pass in plaintext because something is missing.
 */
import { originalDestination, socketDescriptor } from "../capture/index.ts";
import { type Environment, readConfig } from "./config.ts";
import { QuietMemory } from "./footprint.ts";
import { podNetwork } from "./guard.ts";
import { type ProxyDeps, Sidecar } from "./sidecar.ts";

export { readLogLevel } from "./config.ts";
export { ProxyError } from "./errors.ts";
export { METRICS } from "./metrics.ts";
export type { ProxyDeps } from "./sidecar.ts";

/**
 * Runs the sidecar until the signal is aborted and the drain has ended. Throws ProxyError: `missing-variable` and
 * `bad-variable` (exit code 2), `bind-failed` (exit code 1).
 */
export async function runProxy(env: Environment, signal: AbortSignal, deps: ProxyDeps): Promise<void> {
  const config = readConfig(env);
  const network = podNetwork(config.pod.ips, (socket) => originalDestination(socketDescriptor(socket)));
  const sidecar = new Sidecar(config, network, deps);
  try {
    await sidecar.start(signal);
    if (!signal.aborted) {
      const memory = new QuietMemory(deps.clock, () => sidecar.metrics.work());
      await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
      memory[Symbol.dispose]();
    }
  } finally {
    await sidecar.stop();
  }
}
