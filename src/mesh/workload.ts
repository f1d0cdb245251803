/** What the mesh knows of who is where: pods, services and endpoints as the operator reads them, workloads as proxies see them. */
import type { Ip } from "./ip.ts";

/** Whether plaintext that arrives at a meshed pod is refused or forwarded and counted. */
export type Mode = "strict" | "permissive";

/** The mode of a pod: its namespace's label overrides the mesh's, the pod's annotation may only tighten. */
export function modeOf(mesh: Mode, namespace: string | undefined, pod?: string): Mode {
  const base = namespace === "strict" || namespace === "permissive" ? namespace : mesh;
  return pod === "strict" ? "strict" : base;
}

/** Key of a namespaced object: `namespace/name`. */
export function objectKey(namespace: string, name: string): string {
  return `${namespace}/${name}`;
}

/** A pod as the operator sees it, filled from Kubernetes or from the local runner. Store key: `namespace/name`. */
export interface PodRecord {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
  readonly serviceAccount: string;
  /** Every address of the pod, primary first; empty until it has one. */
  readonly ips: readonly Ip[];
  readonly node: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Its spec holds the sidecar (never decided by label). */
  readonly meshed: boolean;
  readonly hostNetwork: boolean;
  readonly ready: boolean;
  /** It has a deletionTimestamp. */
  readonly terminating: boolean;
  /** It ended for good (Succeeded or Failed). */
  readonly finished: boolean;
  /** How plaintext that reaches it is treated: mesh default, tightened or set by namespace, tightened by the pod. */
  readonly mode: Mode;
}

/** A Service as the operator sees it. Store key: `namespace/name`. */
export interface ServiceRecord {
  readonly namespace: string;
  readonly name: string;
  /** `name.namespace.svc.cluster.local`. */
  readonly hostname: string;
  /** Virtual addresses; empty for a headless Service. */
  readonly clusterIps: readonly Ip[];
  readonly ports: readonly ServicePort[];
}

export interface ServicePort {
  /** Empty when the Service has one unnamed port. */
  readonly name: string;
  readonly port: number;
  readonly protocol: "TCP" | "UDP" | "SCTP";
}

/** The endpoints of one Service, as an EndpointSlice (all slices joined). Store key: `namespace/name` of the Service. */
export interface EndpointsRecord {
  readonly namespace: string;
  readonly service: string;
  readonly endpoints: readonly Endpoint[];
}

export interface Endpoint {
  readonly ip: Ip;
  /** uid of the pod behind it; undefined for an endpoint without a pod. */
  readonly podUid: string | undefined;
  readonly ready: boolean;
  /** Target port by Service port name, already resolved for this endpoint. */
  readonly ports: readonly { readonly name: string; readonly port: number }[];
}

/** A workload as proxies see it (`istio.workload.Workload`). */
export interface Workload {
  /** Pod uid for pods: the resource's name on the wire. */
  readonly uid: string;
  readonly name: string;
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly trustDomain: string;
  readonly ips: readonly Ip[];
  readonly node: string;
  /** `hbone`: it has a sidecar, so mTLS or nothing. `none`: known and unmeshed, plaintext. */
  readonly tunnel: "hbone" | "none";
  readonly healthy: boolean;
  /** Service key (`namespace/hostname`) → port pairs by which it is an endpoint of that service. */
  readonly services: Readonly<Record<string, readonly PortPair[]>>;
  /** Names of the authorization policies that apply to it beside the global and namespace ones. */
  readonly authorizationPolicies: readonly string[];
}

export interface PortPair {
  readonly servicePort: number;
  readonly targetPort: number;
}

/** A service as proxies see it (`istio.workload.Service`). */
export interface MeshService {
  readonly name: string;
  readonly namespace: string;
  readonly hostname: string;
  readonly vips: readonly Ip[];
  readonly ports: readonly PortPair[];
}

/** What discovery answers for one address or name. */
export type Address =
  | { readonly kind: "workload"; readonly workload: Workload }
  | { readonly kind: "service"; readonly service: MeshService };

/** `namespace/hostname`, the resource's name of a service on the wire and the key of `Workload.services`. */
export function serviceKey(namespace: string, hostname: string): string {
  return `${namespace}/${hostname}`;
}

/** Settings that the operator sends to a proxy on the discovery stream (`tulle.v1.Settings`). */
export interface ProxySettings {
  /** How plaintext that reaches this pod is treated. */
  readonly mode: Mode;
  /** CIDRs inside which an unknown destination is not passed through before discovery has answered. */
  readonly podRanges: readonly string[];
  readonly serviceRanges: readonly string[];
  /** Raised when every proxy must ask for a new certificate. */
  readonly reissueEpoch: number;
}

/** Root certificates in DER and the sequence that grows with each change (SPIFFE Trust Domain and Bundle §4.1). */
export interface TrustBundleState {
  readonly sequence: number;
  readonly roots: readonly Uint8Array[];
}
