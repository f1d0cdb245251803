/** Whether a new pod would be injected now: asked of the API server itself, by a pod that is created in a dry run only. */
import { isKubeError } from "../kube/index.ts";
import { EXEMPT_NAMESPACES, INIT_CONTAINER, INJECT_LABEL, OPERATOR_NAMES } from "../mesh/index.ts";
import { type Cluster, list } from "./cluster.ts";
import { hasSidecar, NAMESPACES, PODS } from "./objects.ts";

export type ProbeResult =
  | { readonly outcome: "injected" }
  | { readonly outcome: "not-injected"; readonly why: string }
  /** The pod was refused for a reason that is not the injector's. */
  | { readonly outcome: "unknown"; readonly why: string };

/** A namespace where the answer counts: one that wants the mesh, else one that says nothing. */
export async function probeNamespace(cluster: Cluster): Promise<string> {
  const all = await list(cluster, NAMESPACES);
  const usable = all.filter(
    ({ metadata }) =>
      metadata.name !== cluster.namespace &&
      metadata.deletionTimestamp === undefined &&
      !EXEMPT_NAMESPACES.some((name) => name === metadata.name) &&
      metadata.labels?.[INJECT_LABEL] !== "disabled",
  );
  const wanting = usable.find(({ metadata }) => metadata.labels?.[INJECT_LABEL] === "enabled");
  return (wanting ?? usable[0])?.metadata.name ?? "default";
}

export async function probeInjection(cluster: Cluster, namespace: string): Promise<ProbeResult> {
  const { client, signal } = cluster;
  const securityContext = {
    allowPrivilegeEscalation: false,
    capabilities: { drop: ["ALL"] },
    runAsNonRoot: true,
    runAsUser: 65532,
    seccompProfile: { type: "RuntimeDefault" },
  };
  const resources = { requests: { cpu: "1m", memory: "1Mi" }, limits: { cpu: "1m", memory: "1Mi" } };
  const container = { name: "probe", image: "probe", securityContext, resources };
  const pod = {
    metadata: { generateName: "tulle-probe-", namespace, labels: { [INJECT_LABEL]: "enabled" } },
    spec: { containers: [container] },
  };
  try {
    const created = await client.create(PODS, pod, { dryRun: true, ...(signal === undefined ? {} : { signal }) });
    return hasSidecar(created.spec)
      ? { outcome: "injected" }
      : { outcome: "not-injected", why: `a pod in namespace ${namespace} came back without a sidecar` };
  } catch (error) {
    if (!isKubeError(error, "forbidden", "invalid", "not-found")) throw error;
    // Our own policy refuses in a strict namespace what the injector has left as it was.
    if (error.message.includes(OPERATOR_NAMES.strictPolicy)) return { outcome: "not-injected", why: error.message };
    // Pod Security refused what the injector had added: the injector did its part.
    if (error.message.includes(INIT_CONTAINER)) return { outcome: "injected" };
    return { outcome: "unknown", why: error.message };
  }
}
