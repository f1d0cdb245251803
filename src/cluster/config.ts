/** How the operator on Kubernetes is told what to do: flags for the mesh, variables for the pod that it is. */
import { parseTrustDomain, type TrustDomain } from "../identity/index.ts";
import {
  DEFAULT_TRUST_DOMAIN,
  LOG_LEVELS,
  type LogLevel,
  type Millis,
  type Mode,
  parseCidr,
  SYSTEM_NAMESPACE,
} from "../mesh/index.ts";
import { ClusterError } from "./errors.ts";

export interface ClusterConfig {
  readonly trustDomain: TrustDomain;
  /** For namespaces that do not say. */
  readonly mode: Mode;
  readonly leafLifetime: Millis;
  /** Image of init container and sidecar. */
  readonly image: string;
  readonly legacyIptables: boolean;
  /** Empty: the cluster tells. */
  readonly podCidrs: readonly string[];
  readonly serviceCidrs: readonly string[];
  readonly allowEviction: boolean;
  readonly logLevel: LogLevel;
  readonly namespace: string;
  readonly podName: string;
}

/** The flags as they were typed. */
export interface ClusterFlags {
  readonly trustDomain?: string;
  readonly mode?: string;
  readonly leafLifetime?: string;
  readonly image: string;
  readonly legacyIptables?: boolean;
  readonly podCidrs?: string;
  readonly serviceCidrs?: string;
  readonly allowEviction?: boolean;
  readonly logLevel?: string;
}

/** Throws ClusterError `bad-flag` (exit code 2) that names the flag and what it should be. */
export function readClusterConfig(
  flags: ClusterFlags,
  env: Readonly<Record<string, string | undefined>>,
): ClusterConfig {
  const mode = flags.mode ?? "permissive";
  if (mode !== "strict" && mode !== "permissive") throw bad("--mode", mode, "strict or permissive");
  const level = LOG_LEVELS.find((one) => one === (flags.logLevel ?? "info"));
  if (level === undefined) throw bad("--log-level", flags.logLevel ?? "", `one of ${LOG_LEVELS.join(", ")}`);
  return {
    trustDomain: trustDomain(flags.trustDomain ?? DEFAULT_TRUST_DOMAIN),
    mode,
    leafLifetime: duration("--leaf-lifetime", flags.leafLifetime ?? "24h"),
    image: flags.image,
    legacyIptables: flags.legacyIptables === true,
    podCidrs: cidrs("--pod-cidrs", flags.podCidrs),
    serviceCidrs: cidrs("--service-cidrs", flags.serviceCidrs),
    allowEviction: flags.allowEviction === true,
    logLevel: level,
    namespace: env["POD_NAMESPACE"] || SYSTEM_NAMESPACE,
    podName: env["POD_NAME"] || `tulle-operator-${process.pid}`,
  };
}

function trustDomain(text: string): TrustDomain {
  try {
    return parseTrustDomain(text);
  } catch (cause) {
    throw bad("--trust-domain", text, "a DNS name in lower case, such as cluster.local", cause);
  }
}

/** Go's duration syntax, as far as lifetimes need it: `24h`, `90m`, `1h30m`, `30s`. */
function duration(flag: string, text: string): Millis {
  const match = /^(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?$/.exec(text);
  const [, hours = "0", minutes = "0", seconds = "0"] = match ?? [];
  const millis = ((Number(hours) * 60 + Number(minutes)) * 60 + Number(seconds)) * 1000;
  if (match === null || millis < 10_000) throw bad(flag, text, "at least ten seconds, such as 24h, 90m or 30s");
  return millis;
}

function cidrs(flag: string, text: string | undefined): readonly string[] {
  const parts = (text ?? "")
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");
  for (const part of parts) {
    if (parseCidr(part) === undefined)
      throw bad(flag, part, "ranges separated by commas, such as 10.244.0.0/16,fd00:10:244::/56");
  }
  return parts;
}

function bad(flag: string, value: string, wanted: string, cause?: unknown): ClusterError {
  return new ClusterError("bad-flag", `${flag} is ${JSON.stringify(value)}`, {
    hint: `It should be ${wanted}.`,
    exitCode: 2,
    cause,
  });
}
