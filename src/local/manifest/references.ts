/** What one object says of another: selectors, named ports, config maps, volumes, service accounts, and what the node can hold. */
import { parseIp } from "../../mesh/index.ts";
import type { ConfigMapObject, ContainerSpec, DeploymentObject, PodObject, PodSpec, ServiceObject } from "../kinds.ts";
import { familyOf, wantedIps } from "../services/families.ts";
import type { Placed } from "./placed.ts";
import type { Problem } from "./problems.ts";

/** ConfigMaps and service accounts that every namespace has without anybody writing them. */
const GIVEN_CONFIG_MAPS = new Set(["tulle-trust-bundle"]);
const GIVEN_SERVICE_ACCOUNT = "default";

interface Template {
  readonly placed: Placed;
  readonly labels: Readonly<Record<string, string>>;
  readonly spec: PodSpec;
  readonly count: number;
}

/** Problems among `objects`; `existing` objects satisfy references but are not checked again. */
export function checkReferences(
  objects: readonly Placed[],
  existing: readonly Placed[],
  podLimit: number,
): readonly Problem[] {
  const problems: Problem[] = [];
  const tell = (placed: Placed, what: string) =>
    problems.push({ ...placed.position, subject: `${placed.object.kind}/${placed.object.metadata.name}`, what });
  const fresh = new Set(objects.map(identity));
  const all = [...objects, ...existing.filter((placed) => !fresh.has(identity(placed)))];
  const templates = new Map<string, Template[]>();
  let pods = 0;
  for (const template of all.flatMap(templateOf)) {
    pods += template.count;
    const list = templates.get(template.placed.namespace);
    if (list === undefined) templates.set(template.placed.namespace, [template]);
    else list.push(template);
  }
  const names = new Map<string, Placed>(all.map((placed) => [identity(placed), placed]));
  for (const placed of objects) {
    if (placed.object.kind === "Service")
      checkService(placed.object, templates.get(placed.namespace) ?? [], (what) => tell(placed, what));
    if (placed.object.kind === "Deployment") checkSelector(placed.object, (what) => tell(placed, what));
    for (const { spec } of templateOf(placed)) checkPod(spec, placed.namespace, names, (what) => tell(placed, what));
  }
  const last = objects.findLast((placed) => templateOf(placed).length > 0);
  if (pods > podLimit && last !== undefined) {
    tell(last, `${pods} pods are more than this node holds: ${podLimit}; play is for trying out, use fewer replicas`);
  }
  return problems;
}

function identity(placed: Placed): string {
  return `${placed.object.kind}/${placed.namespace}/${placed.object.metadata.name}`;
}

function templateOf(placed: Placed): Template[] {
  const object = placed.object as PodObject | DeploymentObject | Placed["object"];
  if (object.kind === "Pod") return [{ placed, labels: object.metadata.labels ?? {}, spec: object.spec, count: 1 }];
  if (object.kind !== "Deployment") return [];
  const { template, replicas } = object.spec;
  return [{ placed, labels: template.metadata?.labels ?? {}, spec: template.spec, count: replicas ?? 1 }];
}

/** True when every wanted label is there. */
export function selects(
  wanted: Readonly<Record<string, string>>,
  labels: Readonly<Record<string, string>> | undefined,
): boolean {
  return Object.entries(wanted).every(([key, value]) => labels?.[key] === value);
}

function checkFamilies({ spec }: ServiceObject, tell: (what: string) => void): void {
  const { clusterIP, clusterIPs = [], ipFamilies = [], ipFamilyPolicy } = spec;
  if (new Set(ipFamilies).size < ipFamilies.length) tell("spec.ipFamilies names a family twice");
  if (ipFamilyPolicy === "SingleStack" && ipFamilies.length > 1)
    tell("spec.ipFamilies has two families, and spec.ipFamilyPolicy SingleStack means one; say PreferDualStack");
  if (clusterIP !== undefined && clusterIPs.length > 0 && clusterIPs[0] !== clusterIP)
    tell("spec.clusterIP and the first of spec.clusterIPs must be the same");
  const own = wantedIps(spec).flatMap((text) => {
    const ip = parseIp(text);
    return ip === undefined ? [] : [familyOf(ip)];
  });
  if (own.length > 2 || new Set(own).size < own.length) tell("spec.clusterIPs: one address of each family at most");
  if (own.some((family, index) => ipFamilies[index] !== undefined && ipFamilies[index] !== family))
    tell("the cluster IP is not of the family that spec.ipFamilies says");
  if (ipFamilyPolicy === "SingleStack" && own.length > 1)
    tell("spec.clusterIPs has two addresses, and spec.ipFamilyPolicy SingleStack means one; say PreferDualStack");
}

function checkService(service: ServiceObject, templates: readonly Template[], tell: (what: string) => void): void {
  const wanted = Object.entries(service.spec.selector);
  if (wanted.length === 0) {
    tell("spec.selector is empty; say which pods it is for");
    return;
  }
  const selected = templates.filter((template) => selects(service.spec.selector, template.labels));
  const shown = wanted.map(([key, value]) => `${key}=${value}`).join(",");
  if (selected.length === 0) {
    tell(`selects nothing: no pod of its namespace has the labels ${shown}`);
    return;
  }
  checkFamilies(service, tell);
  const ports = service.spec.ports ?? [];
  if (ports.length === 0 && service.spec.clusterIP !== "None")
    tell("spec.ports is missing; only a headless Service may go without");
  if (ports.length > 1 && ports.some((port) => port.name === undefined))
    tell("spec.ports: with more than one port each needs a name");
  for (const port of ports) {
    const { targetPort } = port;
    if (typeof targetPort !== "string") continue;
    const known = selected.flatMap((template) => everyContainer(template.spec).flatMap((one) => one.ports ?? []));
    if (known.some((one) => one.name === targetPort)) continue;
    const there = [...new Set(known.flatMap((one) => (one.name === undefined ? [] : [one.name])))];
    tell(
      `targetPort "${targetPort}" is no port name of the pods it selects${there.length === 0 ? "; they name none" : `; they have ${there.join(", ")}`}`,
    );
  }
}

function checkSelector(deployment: DeploymentObject, tell: (what: string) => void): void {
  if (!selects(deployment.spec.selector.matchLabels ?? {}, deployment.spec.template.metadata?.labels)) {
    tell("spec.selector does not match the labels of spec.template");
  }
}

function everyContainer(spec: PodSpec): readonly ContainerSpec[] {
  return [...(spec.initContainers ?? []), ...spec.containers];
}

function checkPod(
  spec: PodSpec,
  namespace: string,
  names: ReadonlyMap<string, Placed>,
  tell: (what: string) => void,
): void {
  const containers = everyContainer(spec);
  const twice = containers.find((one, index) => containers.findIndex((other) => other.name === one.name) !== index);
  if (twice !== undefined) tell(`container name "${twice.name}" is there twice`);
  if (spec.serviceAccount !== undefined && spec.serviceAccount !== (spec.serviceAccountName ?? GIVEN_SERVICE_ACCOUNT))
    tell(`spec.serviceAccount is the old name of serviceAccountName: write serviceAccountName: ${spec.serviceAccount}`);
  const account = spec.serviceAccountName ?? GIVEN_SERVICE_ACCOUNT;
  if (account !== GIVEN_SERVICE_ACCOUNT && !names.has(`ServiceAccount/${namespace}/${account}`)) {
    tell(`ServiceAccount "${account}" does not exist in namespace ${namespace}; declare it in the manifest`);
  }
  const configMap = (name: string, optional: boolean | undefined, key?: string) => {
    if (optional === true || GIVEN_CONFIG_MAPS.has(name)) return;
    const found = names.get(`ConfigMap/${namespace}/${name}`)?.object as ConfigMapObject | undefined;
    if (found === undefined) tell(`ConfigMap "${name}" does not exist in namespace ${namespace}`);
    else if (key !== undefined && found.data?.[key] === undefined) tell(`ConfigMap "${name}" has no key "${key}"`);
  };
  for (const volume of spec.volumes ?? []) {
    const sources = [volume.emptyDir, volume.configMap, volume.downwardAPI, volume.projected].filter(
      (one) => one !== undefined,
    );
    if (sources.length > 1) tell(`volume "${volume.name}" has more than one source`);
    if (volume.configMap !== undefined) configMap(volume.configMap.name, volume.configMap.optional);
    for (const source of volume.projected?.sources ?? []) {
      if (source.configMap !== undefined) configMap(source.configMap.name, source.configMap.optional);
    }
  }
  const volumes = new Set((spec.volumes ?? []).map((volume) => volume.name));
  const portNames = new Set<string>();
  for (const container of containers) {
    for (const mount of container.volumeMounts ?? []) {
      if (!volumes.has(mount.name))
        tell(`container "${container.name}" mounts volume "${mount.name}", which the pod does not have`);
    }
    for (const variable of container.env ?? []) {
      const reference = variable.valueFrom?.configMapKeyRef;
      if (reference !== undefined) configMap(reference.name, reference.optional, reference.key);
    }
    for (const source of container.envFrom ?? []) configMap(source.configMapRef.name, source.configMapRef.optional);
    for (const port of container.ports ?? []) {
      if (port.name === undefined) continue;
      if (portNames.has(port.name)) tell(`port name "${port.name}" is there twice`);
      portNames.add(port.name);
    }
    for (const probe of [container.startupProbe, container.readinessProbe, container.livenessProbe]) {
      if (probe === undefined) continue;
      const kinds = [probe.httpGet, probe.tcpSocket, probe.grpc, probe.exec].filter((one) => one !== undefined);
      if (kinds.length !== 1)
        tell(`container "${container.name}": a probe must have exactly one of httpGet, tcpSocket, grpc and exec`);
      const port = probe.httpGet?.port ?? probe.tcpSocket?.port;
      if (typeof port === "string" && !(container.ports ?? []).some((one) => one.name === port)) {
        tell(`container "${container.name}": the probe's port "${port}" is none of its port names`);
      }
    }
    for (const hook of [container.lifecycle?.postStart, container.lifecycle?.preStop]) {
      const port = hook?.httpGet?.port;
      if (typeof port === "string" && !(container.ports ?? []).some((one) => one.name === port)) {
        tell(`container "${container.name}": the lifecycle handler's port "${port}" is none of its port names`);
      }
    }
  }
}
