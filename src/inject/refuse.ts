/** The pods that cannot be meshed, each with its reason. */
import {
  IDENTITY_VOLUME,
  INIT_CONTAINER,
  PROXY_CONTAINER,
  PROXY_UID,
  RESERVED_PORTS,
  RUN_VOLUME,
} from "../mesh/index.ts";
import { InjectError } from "./errors.ts";
import { isObject, type JsonObject, objectAt, objectsAt, textAt } from "./json.ts";

/** Container names and annotations by which other meshes are known. */
const OTHER_MESHES: readonly {
  readonly mesh: string;
  readonly containers: readonly string[];
  readonly annotation?: string;
}[] = [
  {
    mesh: "Istio",
    containers: ["istio-proxy", "istio-init", "istio-validation"],
    annotation: "sidecar.istio.io/status",
  },
  { mesh: "Linkerd", containers: ["linkerd-proxy", "linkerd-init"], annotation: "linkerd.io/proxy-version" },
  { mesh: "Kuma", containers: ["kuma-sidecar", "kuma-init"], annotation: "kuma.io/sidecar-injected" },
  {
    mesh: "Consul",
    containers: ["consul-dataplane", "consul-connect-inject-init", "envoy-sidecar"],
    annotation: "consul.hashicorp.com/connect-inject-status",
  },
  { mesh: "Open Service Mesh", containers: ["osm-init"] },
];

/** Throws InjectError when this pod must not be injected. */
export function refuse(pod: JsonObject): void {
  for (const [path, value] of [
    ["metadata", pod["metadata"]],
    ["metadata.annotations", objectAt(pod, "metadata")["annotations"]],
  ] as const) {
    if (value !== undefined && value !== null && !isObject(value)) {
      throw new InjectError("bad-pod", `${path} is not a map`);
    }
  }
  const metadata = objectAt(pod, "metadata");
  const spec = objectAt(pod, "spec");
  if (objectsAt(spec, "containers").length === 0)
    throw new InjectError("bad-pod", "spec.containers is missing or empty");
  for (const list of ["containers", "initContainers", "volumes"]) {
    const found = spec[list];
    if (found !== undefined && found !== null && !(Array.isArray(found) && found.every(isObject))) {
      throw new InjectError("bad-pod", `spec.${list} is not a list of objects`);
    }
  }
  if (isWindows(spec)) throw new InjectError("not-linux", "it is a Windows pod");
  if (spec["hostNetwork"] === true) {
    throw new InjectError("host-network", "it uses hostNetwork: its rules would capture the node's traffic");
  }
  if (objectAt(spec, "securityContext")["runAsUser"] === PROXY_UID) {
    throw new InjectError("proxy-uid", `the pod runs as user ${PROXY_UID}`);
  }
  const containers = [...objectsAt(spec, "initContainers"), ...objectsAt(spec, "containers")];
  refuseSharedProcesses(spec, containers);
  const annotations = objectAt(metadata, "annotations");
  for (const { mesh, containers: names, annotation } of OTHER_MESHES) {
    const found = containers
      .map((container) => textAt(container, "name"))
      .find((name) => name !== undefined && names.includes(name));
    if (found !== undefined)
      throw new InjectError("other-mesh", `container ${found} shows that ${mesh} has injected it already`);
    if (annotation !== undefined && annotations[annotation] !== undefined) {
      throw new InjectError("other-mesh", `annotation ${annotation} shows that ${mesh} has injected it already`);
    }
  }
  for (const container of containers) refuseContainer(container);
  for (const volume of objectsAt(spec, "volumes")) {
    const name = textAt(volume, "name");
    if (name === RUN_VOLUME || name === IDENTITY_VOLUME)
      throw new InjectError("name-taken", `volume name ${name} is taken`);
  }
}

function refuseContainer(container: JsonObject): void {
  const name = textAt(container, "name") ?? "";
  if (name === INIT_CONTAINER || name === PROXY_CONTAINER)
    throw new InjectError("name-taken", `container name ${name} is taken`);
  if (objectAt(container, "securityContext")["runAsUser"] === PROXY_UID) {
    throw new InjectError("proxy-uid", `container ${name} runs as user ${PROXY_UID}`);
  }
  for (const port of objectsAt(container, "ports")) {
    for (const field of ["containerPort", "hostPort"]) {
      const number = port[field];
      if (typeof number === "number" && number >= RESERVED_PORTS.first && number <= RESERVED_PORTS.last) {
        throw new InjectError("reserved-port", `container ${name} uses ${field} ${number}`);
      }
    }
  }
}

export function isWindows(spec: JsonObject): boolean {
  return osOf(spec) === "windows";
}

/** Said by the pod's os or by the node it selects; undefined where neither does. */
export function osOf(spec: JsonObject): string | undefined {
  return textAt(spec["os"], "name") ?? textAt(spec["nodeSelector"], "kubernetes.io/os");
}

/**
 * Where the proxy's process can be seen, a container that is root, or may become user 1337 in another way, can read the
 * private key from its memory (ptrace(2): same user, no capability needed). See docs/adr/0008.
 */
function refuseSharedProcesses(spec: JsonObject, containers: readonly JsonObject[]): void {
  const shared = ["shareProcessNamespace", "hostPID"].find((field) => spec[field] === true);
  if (shared === undefined) return;
  const pod = objectAt(spec, "securityContext");
  const open = containers.find((container) => {
    const own = objectAt(container, "securityContext");
    const user = own["runAsUser"] ?? pod["runAsUser"];
    return (
      typeof user !== "number" || user === 0 || own["allowPrivilegeEscalation"] !== false || own["privileged"] === true
    );
  });
  if (open === undefined) return;
  const name = textAt(open, "name") ?? "";
  throw new InjectError(
    "shared-processes",
    `with ${shared}, container ${name} could read the sidecar's private key from its memory`,
  );
}
