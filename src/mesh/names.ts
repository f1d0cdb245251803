/** Names that several rooms must spell alike: labels, annotations, containers, volumes, files and variables. */

/** Namespace and pod label: `enabled` or `disabled`. */
export const INJECT_LABEL = "tulle.dev/inject";
/** Namespace label and pod annotation: `strict` or `permissive`; a pod may only tighten. */
export const MODE_LABEL = "tulle.dev/mode";
/** Pod annotation: inbound ports that plaintext reaches past the proxy. */
export const SKIP_INBOUND_PORTS_ANNOTATION = "tulle.dev/skip-inbound-ports";
/** Pod annotation that the injector leaves: the version that injected it. */
export const INJECTED_ANNOTATION = "tulle.dev/injected";
/** Pod annotation that the injector leaves when it needs it: what `tulle uninject` has to put back. */
export const ORIGINAL_ANNOTATION = "tulle.dev/original";

export const INIT_CONTAINER = "tulle-init";
export const PROXY_CONTAINER = "tulle-proxy";

/** Memory emptyDir of the proxy: admin socket and what a restarted proxy remembers (never keys). */
export const RUN_VOLUME = "tulle-run";
export const RUN_DIRECTORY = "/run/tulle";
/** Projected volume: the bound service-account token and the bootstrap trust bundle. */
export const IDENTITY_VOLUME = "tulle-identity";
export const IDENTITY_DIRECTORY = "/var/run/secrets/tulle";
export const TOKEN_FILE = "token";
export const ROOT_CERTIFICATE_FILE = "root-cert.pem";
/** ConfigMap, one in every namespace, that holds the bootstrap trust bundle under `root-cert.pem`. */
export const TRUST_BUNDLE_CONFIG_MAP = "tulle-trust-bundle";

/** Audience of the tokens that authenticate certificate requests and discovery. */
export const TOKEN_AUDIENCE = "tulle-ca";

export const SYSTEM_NAMESPACE = "tulle-system";
export const OPERATOR_SERVICE_ACCOUNT = "tulle-operator";
/** DNS name of the operator's Service, the name its server certificate carries. */
export const OPERATOR_HOST = operatorHost(SYSTEM_NAMESPACE);

/** The same where the operator lives in another namespace. */
export function operatorHost(namespace: string): string {
  return `${OPERATOR_SERVICE_ACCOUNT}.${namespace}.svc`;
}

/** The objects of the operator on Kubernetes. One mesh a cluster: those without a namespace have these names too. */
export const OPERATOR_NAMES = {
  /** Deployment, Service, ServiceAccount, PodDisruptionBudget, ClusterRole, Role and their bindings. */
  operator: OPERATOR_SERVICE_ACCOUNT,
  /** Held by the replica that does leader work. */
  lease: "tulle-operator",
  /** Secret, the CA store: made by a create-only write, changed by compare-and-swap. Never in the chart. */
  caSecret: "tulle-ca",
  /** MutatingWebhookConfiguration; its `caBundle` belongs to the operator. */
  injector: "tulle-injector",
  /** ValidatingAdmissionPolicy and its binding. */
  strictPolicy: "tulle-strict",
  /** ConfigMap: the values that `tulle install` was given, for `tulle upgrade`. */
  installRecord: "tulle-install",
} as const;
/** The two webhooks in `tulle-injector`: by the namespace's label, and by the pod's own. */
export const INJECTOR_WEBHOOKS = ["namespace.injector.tulle.dev", "pod.injector.tulle.dev"] as const;
/** An absent operator must not stop pods; where nothing may slip through, the strict policy refuses them. */
export const INJECTOR_FAILURE_POLICY = "Ignore";
/** Path of the injector on the operator's port 15017. */
export const INJECTOR_PATH = "/inject";
/** Who is noted as the manager of what the operator writes by server-side apply, `caBundle` among it. */
export const OPERATOR_FIELD_MANAGER = "tulle-operator";
/** Port of the operator's Service that leads to its port 15017. */
export const WEBHOOK_SERVICE_PORT = 443;
/** Namespaces that are never injected nor judged, beside the operator's own: nothing of ours may stop them. */
export const EXEMPT_NAMESPACES = ["kube-system", "kube-public", "kube-node-lease"] as const;

export const DEFAULT_TRUST_DOMAIN = "cluster.local";
export const DEFAULT_CLUSTER_DOMAIN = "cluster.local";
/** Never a name that a stranger's registry could answer for; the tag is the version. */
export const DEFAULT_IMAGE_REPOSITORY = "localhost/tulle";

/** Environment variables of the `tulle-proxy` container. */
export const ENV = {
  podName: "POD_NAME",
  podNamespace: "POD_NAMESPACE",
  podUid: "POD_UID",
  podIps: "POD_IPS",
  serviceAccount: "SERVICE_ACCOUNT",
  nodeName: "NODE_NAME",
  trustDomain: "TULLE_TRUST_DOMAIN",
  operatorAddress: "TULLE_OPERATOR_ADDRESS",
  logLevel: "TULLE_LOG_LEVEL",
  /** The application's probes and lifecycle handlers that the proxy makes: `AppProbes` as JSON; unset means none. */
  probes: "TULLE_PROBES",
} as const;
