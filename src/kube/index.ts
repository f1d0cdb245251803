/**
 * kube: the client of the Kubernetes API: configuration, typed calls, reflectors, leader election, Events. Knows nothing
 * of the mesh; never loads the official library unless there is a kubeconfig, an exec or a port-forward.
 */
export * from "./client.ts";
export * from "./connect.ts";
export * from "./connection.ts";
export * from "./discovery.ts";
export * from "./election.ts";
export * from "./errors.ts";
export { EVENTS, type EventObject, type Happening } from "./event.ts";
export { type ExecRequest, type ExecResult, execInPod } from "./exec.ts";
export * from "./in-cluster.ts";
export * from "./lease.ts";
export * from "./object.ts";
export * from "./patch.ts";
export * from "./port-forward.ts";
export { EventRecorder, type RecorderCounts, type RecorderOptions } from "./recorder.ts";
export * from "./reflector.ts";
export type { ReflectorCounts } from "./reflector-state.ts";
export { type Resource, resource } from "./resource.ts";
export * from "./reviews.ts";
export * from "./sink.ts";
export type { Status } from "./status.ts";
