/** mesh: the shared model. Knows nothing of sockets, files, clocks or Kubernetes. */
export * from "./errors.ts";
export * from "./ip.ts";
export * from "./log.ts";
export * from "./names.ts";
export * from "./ports.ts";
export * from "./probes.ts";
export * from "./rate.ts";
export * from "./reasons.ts";
export * from "./source-limit.ts";
export * from "./source-rate.ts";
export * from "./store.ts";
export * from "./time.ts";
export * from "./workload.ts";
