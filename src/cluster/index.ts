/**
 * cluster: the operator on Kubernetes. Reads the cluster through kube/, keeps the authority in a Secret, injects new pods,
 * publishes the trust bundle. It composes operator/ and inject/ and decides nothing of the mesh itself.
 */
export { type ClusterConfig, type ClusterFlags, readClusterConfig } from "./config.ts";
export { ClusterError } from "./errors.ts";
export { type ClusterDeps, runClusterOperator } from "./operator-on-cluster.ts";
