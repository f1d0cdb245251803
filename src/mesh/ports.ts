/**
 * The one table of ports: every listener of the mesh, where it listens and what for.
 * `docs/reference` and the injector's refusals are made from it.
 */
export const PORTS = {
  /** Outbound capture; iptables REDIRECT rewrites local packets to loopback, so it listens there only. */
  outbound: 15001,
  /** Plaintext that arrived for the pod and was redirected. */
  inboundPlaintext: 15006,
  /** HBONE: HTTP/2 CONNECT over mTLS; never redirected. */
  hbone: 15008,
  /** Operator: certificates, discovery, reports over gRPC and TLS. */
  operatorGrpc: 15012,
  /** Operator: metrics and health. */
  operatorMetrics: 15014,
  /** Operator: admission webhook. */
  operatorWebhook: 15017,
  /** Proxy: `/metrics` and rewritten probes. */
  metrics: 15020,
  /** Proxy: `/healthz/ready`. */
  readiness: 15021,
} as const;

/** Ports that pods must leave to the mesh: the injector refuses a pod that declares one of them. */
export const RESERVED_PORTS = { first: 15000, last: 15021 } as const;

/** The proxy's own listeners: a captured or tunnelled connection to one of them is refused (`refused-own-port`). */
export const PROXY_PORTS: readonly number[] = [
  PORTS.outbound,
  PORTS.inboundPlaintext,
  PORTS.hbone,
  PORTS.metrics,
  PORTS.readiness,
];

/** The destinations whose plaintext is never redirected inbound: HBONE itself, metrics and readiness. */
export const UNREDIRECTED_INBOUND_PORTS: readonly number[] = [PORTS.hbone, PORTS.metrics, PORTS.readiness];

/** User id that the proxy runs as; traffic of this user is never captured. */
export const PROXY_UID = 1337;
