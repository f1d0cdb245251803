/** The Kubernetes objects that the operator reads and writes, with the fields that it uses and no others. */
import { type KubeObject, type Resource, resource } from "../kube/index.ts";

export interface Pod extends KubeObject {
  readonly spec: {
    readonly serviceAccountName?: string;
    readonly nodeName?: string;
    readonly hostNetwork?: boolean;
    readonly os?: { readonly name?: string };
    readonly nodeSelector?: Readonly<Record<string, string>>;
    readonly containers?: readonly { readonly name: string }[];
    readonly initContainers?: readonly { readonly name: string; readonly restartPolicy?: string }[];
  };
  readonly status?: {
    readonly phase?: "Pending" | "Running" | "Succeeded" | "Failed" | "Unknown";
    readonly podIPs?: readonly { readonly ip: string }[];
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
  };
}

export interface Service extends KubeObject {
  readonly spec: {
    readonly type?: string;
    readonly clusterIPs?: readonly string[];
    readonly ports?: readonly {
      readonly name?: string;
      readonly port: number;
      readonly protocol?: "TCP" | "UDP" | "SCTP";
    }[];
  };
}

export interface EndpointSlice extends KubeObject {
  readonly addressType?: "IPv4" | "IPv6" | "FQDN";
  readonly endpoints?:
    | readonly {
        readonly addresses: readonly string[];
        readonly conditions?: { readonly ready?: boolean };
        readonly targetRef?: { readonly kind?: string; readonly uid?: string };
      }[]
    | null;
  readonly ports?: readonly { readonly name?: string; readonly port?: number; readonly protocol?: string }[] | null;
}

export interface Node extends KubeObject {
  readonly spec: { readonly podCIDRs?: readonly string[] };
}

export interface ServiceCidr extends KubeObject {
  readonly spec: { readonly cidrs?: readonly string[] };
}

export interface Secret extends KubeObject {
  readonly type?: string;
  /** Base64. */
  readonly data?: Readonly<Record<string, string>>;
  readonly immutable?: boolean;
}

export interface ConfigMap extends KubeObject {
  readonly data?: Readonly<Record<string, string>>;
}

export interface MutatingWebhookConfiguration extends KubeObject {
  readonly webhooks?: readonly {
    readonly name: string;
    readonly clientConfig: { readonly caBundle?: string };
  }[];
}

export const PODS: Resource<Pod> = resource("v1", "Pod", "pods");
export const SERVICES: Resource<Service> = resource("v1", "Service", "services");
export const ENDPOINT_SLICES: Resource<EndpointSlice> = resource(
  "discovery.k8s.io/v1",
  "EndpointSlice",
  "endpointslices",
);
export const NAMESPACES: Resource<KubeObject> = resource("v1", "Namespace", "namespaces", "cluster");
export const NODES: Resource<Node> = resource("v1", "Node", "nodes", "cluster");
/** Stable since Kubernetes 1.33. */
export const SERVICE_CIDRS: Resource<ServiceCidr> = resource(
  "networking.k8s.io/v1",
  "ServiceCIDR",
  "servicecidrs",
  "cluster",
);
export const SECRETS: Resource<Secret> = resource("v1", "Secret", "secrets");
export const CONFIG_MAPS: Resource<ConfigMap> = resource("v1", "ConfigMap", "configmaps");
export const MUTATING_WEBHOOKS: Resource<MutatingWebhookConfiguration> = resource(
  "admissionregistration.k8s.io/v1",
  "MutatingWebhookConfiguration",
  "mutatingwebhookconfigurations",
  "cluster",
);
