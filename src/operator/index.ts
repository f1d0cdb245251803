/**
 * operator: issues certificates to pods that prove who they are, tells proxies who is where, and hears what they have
 * applied. It works on stores that somebody else fills, and never touches Kubernetes or the machine's namespaces itself.
 */
export { type AcceptorOptions, TlsAcceptor } from "./acceptor.ts";
export type { TokenReview, TokenReviewer } from "./callers.ts";
export { OperatorError } from "./errors.ts";
export { Operator, type OperatorOptions } from "./operator.ts";
export { ReplicaClient } from "./replica-client.ts";
export type { ProxyReport } from "./reports.ts";
export type { ServerMaterial } from "./server-certificate.ts";
