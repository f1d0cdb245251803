/** The Kubernetes objects that this room reads and writes, with the fields that it uses and no others. */
import { type KubeObject, type Resource, resource } from "../kube/index.ts";
import { INIT_CONTAINER, type Mode, PROXY_CONTAINER } from "../mesh/index.ts";
import { InstallError } from "./errors.ts";

export interface Container {
  readonly name: string;
  readonly image?: string;
  readonly args?: readonly string[];
  readonly restartPolicy?: string;
  readonly ports?: readonly { readonly name?: string; readonly containerPort: number; readonly protocol?: string }[];
}

export interface ContainerStatus {
  readonly name: string;
  readonly ready?: boolean;
  readonly state?: {
    readonly waiting?: { readonly reason?: string; readonly message?: string };
    readonly terminated?: { readonly exitCode: number; readonly reason?: string };
  };
}

export interface PodSpec {
  readonly containers: readonly Container[];
  readonly initContainers?: readonly Container[];
  readonly hostNetwork?: boolean;
}

export interface Pod extends KubeObject {
  readonly spec: PodSpec;
  readonly status?: {
    readonly phase?: string;
    readonly containerStatuses?: readonly ContainerStatus[];
    readonly initContainerStatuses?: readonly ContainerStatus[];
    readonly conditions?: readonly Condition[];
  };
}

export interface ClusterRoleBinding extends KubeObject {
  readonly subjects?: readonly { readonly kind: string; readonly namespace?: string }[];
}

export interface Condition {
  readonly type: string;
  readonly status: string;
  readonly message?: string;
}

/** Deployment, ReplicaSet, StatefulSet, DaemonSet or Job. */
export interface Workload extends KubeObject {
  readonly spec: {
    readonly replicas?: number;
    readonly template: { readonly metadata?: KubeObject["metadata"]; readonly spec: PodSpec };
    readonly updateStrategy?: { readonly type?: string };
    readonly paused?: boolean;
  };
  readonly status?: {
    readonly observedGeneration?: number;
    readonly replicas?: number;
    readonly updatedReplicas?: number;
    readonly availableReplicas?: number;
    readonly conditions?: readonly Condition[];
  };
}

export interface Service extends KubeObject {
  readonly spec: { readonly selector?: Readonly<Record<string, string>> };
}

export interface ConfigMap extends KubeObject {
  readonly data?: Readonly<Record<string, string>>;
}

export interface Secret extends KubeObject {
  /** Base64. */
  readonly data?: Readonly<Record<string, string>>;
}

export interface Node extends KubeObject {
  readonly status?: {
    readonly nodeInfo?: {
      readonly kernelVersion: string;
      readonly operatingSystem: string;
      readonly architecture: string;
      readonly osImage: string;
    };
  };
}

export interface LabelSelector {
  readonly matchLabels?: Readonly<Record<string, string>>;
  readonly matchExpressions?: readonly {
    readonly key: string;
    readonly operator: "In" | "NotIn" | "Exists" | "DoesNotExist";
    readonly values?: readonly string[];
  }[];
}

export interface NetworkPolicyPort {
  readonly port?: number | string;
  readonly endPort?: number;
  readonly protocol?: string;
}

export interface NetworkPolicy extends KubeObject {
  readonly spec: {
    readonly podSelector?: LabelSelector;
    readonly policyTypes?: readonly string[];
    readonly ingress?: readonly { readonly ports?: readonly NetworkPolicyPort[] }[];
  };
}

export interface ServiceReference {
  readonly namespace: string;
  readonly name: string;
  readonly port?: number;
}

export interface WebhookConfiguration extends KubeObject {
  readonly webhooks?: readonly {
    readonly name: string;
    readonly clientConfig: { readonly service?: ServiceReference; readonly caBundle?: string };
    readonly failurePolicy?: string;
  }[];
}

export interface ApiService extends KubeObject {
  readonly spec: { readonly service?: ServiceReference };
}

export interface PolicyBinding extends KubeObject {
  readonly spec: { readonly policyName: string; readonly validationActions?: readonly string[] };
}

export interface AccessReview extends KubeObject {
  readonly spec: {
    readonly resourceAttributes: {
      readonly verb: string;
      readonly group: string;
      readonly resource: string;
      readonly namespace?: string;
    };
  };
  readonly status?: { readonly allowed: boolean };
}

const ADMISSION = "admissionregistration.k8s.io/v1";
export const NAMESPACES: Resource<KubeObject> = resource("v1", "Namespace", "namespaces", "cluster");
export const NODES: Resource<Node> = resource("v1", "Node", "nodes", "cluster");
export const PODS: Resource<Pod> = resource("v1", "Pod", "pods");
export const SERVICES: Resource<Service> = resource("v1", "Service", "services");
export const CONFIG_MAPS: Resource<ConfigMap> = resource("v1", "ConfigMap", "configmaps");
export const SECRETS: Resource<Secret> = resource("v1", "Secret", "secrets");
export const DEPLOYMENTS: Resource<Workload> = resource("apps/v1", "Deployment", "deployments");
export const REPLICA_SETS: Resource<Workload> = resource("apps/v1", "ReplicaSet", "replicasets");
export const STATEFUL_SETS: Resource<Workload> = resource("apps/v1", "StatefulSet", "statefulsets");
export const DAEMON_SETS: Resource<Workload> = resource("apps/v1", "DaemonSet", "daemonsets");
export const NETWORK_POLICIES: Resource<NetworkPolicy> = resource(
  "networking.k8s.io/v1",
  "NetworkPolicy",
  "networkpolicies",
);
export const MUTATING_WEBHOOKS: Resource<WebhookConfiguration> = resource(
  ADMISSION,
  "MutatingWebhookConfiguration",
  "mutatingwebhookconfigurations",
  "cluster",
);
export const VALIDATING_WEBHOOKS: Resource<WebhookConfiguration> = resource(
  ADMISSION,
  "ValidatingWebhookConfiguration",
  "validatingwebhookconfigurations",
  "cluster",
);
export const POLICY_BINDINGS: Resource<PolicyBinding> = resource(
  ADMISSION,
  "ValidatingAdmissionPolicyBinding",
  "validatingadmissionpolicybindings",
  "cluster",
);
export const API_SERVICES: Resource<ApiService> = resource(
  "apiregistration.k8s.io/v1",
  "APIService",
  "apiservices",
  "cluster",
);
export const CLUSTER_ROLE_BINDINGS: Resource<ClusterRoleBinding> = resource(
  "rbac.authorization.k8s.io/v1",
  "ClusterRoleBinding",
  "clusterrolebindings",
  "cluster",
);
export const SELF_ACCESS_REVIEWS: Resource<AccessReview> = resource(
  "authorization.k8s.io/v1",
  "SelfSubjectAccessReview",
  "selfsubjectaccessreviews",
  "cluster",
);

/** Every kind that the chart renders. */
const RENDERED: readonly Resource<KubeObject>[] = [
  NAMESPACES,
  SERVICES,
  DEPLOYMENTS,
  NETWORK_POLICIES,
  MUTATING_WEBHOOKS,
  POLICY_BINDINGS,
  resource("v1", "ServiceAccount", "serviceaccounts"),
  resource("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets"),
  resource("rbac.authorization.k8s.io/v1", "ClusterRole", "clusterroles", "cluster"),
  CLUSTER_ROLE_BINDINGS,
  resource("rbac.authorization.k8s.io/v1", "Role", "roles"),
  resource("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings"),
  resource("monitoring.coreos.com/v1", "PodMonitor", "podmonitors"),
  resource(ADMISSION, "ValidatingAdmissionPolicy", "validatingadmissionpolicies", "cluster"),
];

/** Where the API serves a rendered object. */
export function resourceOf({
  apiVersion,
  kind,
}: {
  readonly apiVersion: string;
  readonly kind: string;
}): Resource<KubeObject> {
  const found = RENDERED.find((one) => one.apiVersion === apiVersion && one.kind === kind);
  if (found === undefined)
    throw new InstallError("bad-template", `the chart renders a ${kind} of ${apiVersion}, which is not known`);
  return found;
}

/** True when the spec holds init container and sidecar: what makes a pod meshed, never a label. */
export function hasSidecar({ initContainers = [] }: PodSpec): boolean {
  const names = initContainers.map((container) => container.name);
  return names.includes(INIT_CONTAINER) && names.includes(PROXY_CONTAINER);
}

/** What the operator was told of namespaces that say nothing. */
export function modeOfOperator({ spec }: Workload): Mode {
  return spec.template.spec.containers.some((one) => one.args?.includes("--mode=strict")) ? "strict" : "permissive";
}

/** The pod will not run again. */
export function isFinished({ status }: Pod): boolean {
  return status?.phase === "Succeeded" || status?.phase === "Failed";
}

/** Made by the chart, by the operator or by this room: an object of another with the same name is left alone. */
export function isOurs(object: KubeObject | undefined): boolean {
  return object?.metadata.labels?.["app.kubernetes.io/part-of"] === "tulle";
}

/** `Deployment tulle-system/tulle-operator`. */
export function nameOf({
  kind,
  metadata,
}: {
  readonly kind?: string;
  readonly metadata: KubeObject["metadata"];
}): string {
  const { namespace, name } = metadata;
  return `${kind ?? "object"} ${namespace === undefined ? name : `${namespace}/${name}`}`;
}
