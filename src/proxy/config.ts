/** The proxy's configuration: the environment that the injector writes, parsed once into typed values. */
import {
  parseSpiffeId,
  parseTrustDomain,
  type SpiffeId,
  type TrustDomain,
  workloadSpiffeId,
} from "../identity/index.ts";
import {
  type AppProbes,
  DEFAULT_TRUST_DOMAIN,
  ENV,
  IDENTITY_DIRECTORY,
  type Ip,
  LOG_LEVELS,
  type LogLevel,
  OPERATOR_HOST,
  PORTS,
  parseIp,
} from "../mesh/index.ts";
import { readAppProbes } from "./declared-probes.ts";
import { ProxyError } from "./errors.ts";

/** Who the pod is and where its operator is. */
export interface ProxyConfig {
  readonly pod: {
    readonly name: string;
    readonly namespace: string;
    readonly uid: string;
    readonly serviceAccount: string;
    readonly node: string;
    /** Every address of the pod, primary first. */
    readonly ips: readonly Ip[];
  };
  readonly trustDomain: TrustDomain;
  /** `spiffe://<trust domain>/ns/<namespace>/sa/<service account>`. */
  readonly id: SpiffeId;
  readonly operator: OperatorAddress;
  readonly logLevel: LogLevel;
  /** Where the projected token and the bootstrap trust bundle lie. */
  readonly identityDirectory: string;
  /** The application's probes that the kubelet asks us for. */
  readonly probes: AppProbes;
}

export interface OperatorAddress {
  readonly host: string;
  readonly port: number;
  /** The DNS name that the operator's certificate must carry. */
  readonly serverName: string;
}

export type Environment = Readonly<Record<string, string | undefined>>;

/** Reads the variables of `ENV`. Throws a ProxyError (exit code 2) that names the variable and what it should be. */
export function readConfig(env: Environment, identityDirectory: string = IDENTITY_DIRECTORY): ProxyConfig {
  const namespace = required(env, ENV.podNamespace, "the pod's namespace");
  const serviceAccount = required(env, ENV.serviceAccount, "the name of the pod's service account");
  const trustDomain = parsed(ENV.trustDomain, env[ENV.trustDomain] || DEFAULT_TRUST_DOMAIN, parseTrustDomain);
  const id = parsed(`${ENV.podNamespace} or ${ENV.serviceAccount}`, `${namespace}, ${serviceAccount}`, () =>
    parseSpiffeId(workloadSpiffeId(trustDomain, namespace, serviceAccount)),
  );
  return {
    pod: {
      name: required(env, ENV.podName, "the pod's name"),
      namespace,
      uid: required(env, ENV.podUid, "the pod's uid"),
      serviceAccount,
      node: env[ENV.nodeName] ?? "",
      ips: readIps(required(env, ENV.podIps, "the pod's addresses, separated by commas")),
    },
    trustDomain,
    id,
    operator: readOperator(required(env, ENV.operatorAddress, "the operator's address as host:port")),
    logLevel: readLogLevel(env[ENV.logLevel]),
    identityDirectory,
    probes: readAppProbes(env[ENV.probes]),
  };
}

/** `error`, `warn`, `info` or `debug`; unset means `info`. Throws a ProxyError for anything else. */
export function readLogLevel(text: string | undefined): LogLevel {
  if (text === undefined || text === "") return "info";
  const level = LOG_LEVELS.find((candidate) => candidate === text);
  if (level === undefined) throw bad(ENV.logLevel, text, `one of ${LOG_LEVELS.join(", ")}`);
  return level;
}

function required(env: Environment, name: string, meaning: string): string {
  const value = env[name];
  if (value === undefined || value === "") {
    throw new ProxyError("missing-variable", `the environment variable ${name} is not set`, {
      hint: `It should be ${meaning}. The injector sets it: \`tulle proxy\` is meant to run in an injected pod.`,
      exitCode: 2,
    });
  }
  return value;
}

function readIps(text: string): Ip[] {
  return text.split(",").map((part) => {
    const ip = parseIp(part.trim());
    if (ip === undefined) throw bad(ENV.podIps, text, "IP addresses separated by commas, such as 10.0.0.9,fd00::9");
    return ip;
  });
}

function readOperator(text: string): OperatorAddress {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9_.-]+)):([1-9]\d{0,4})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || port > 65535 || (match?.[1] !== undefined && parseIp(host) === undefined)) {
    throw bad(ENV.operatorAddress, text, `host:port, such as ${OPERATOR_HOST}:${PORTS.operatorGrpc}`);
  }
  // A certificate carries names; an operator reached by address still has to present its own name.
  return { host, port, serverName: parseIp(host) === undefined ? host : OPERATOR_HOST };
}

function parsed<T>(name: string, text: string, parse: (text: string) => T): T {
  try {
    return parse(text);
  } catch (error) {
    throw bad(name, text, error instanceof Error ? error.message : String(error), error);
  }
}

function bad(name: string, value: string, wanted: string, cause?: unknown): ProxyError {
  return new ProxyError("bad-variable", `the environment variable ${name} is ${JSON.stringify(value)}`, {
    hint: `It should be ${wanted}.`,
    exitCode: 2,
    cause,
  });
}
