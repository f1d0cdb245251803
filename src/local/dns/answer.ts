/** The cluster's names, answered as Kubernetes' DNS specification says (version 1.1.0). Pure: a question and a view in, an answer out. */
import {
  DEFAULT_CLUSTER_DOMAIN,
  type EndpointsRecord,
  type Ip,
  isIpv6,
  parseIp,
  type ServiceRecord,
} from "../../mesh/index.ts";
import { reverseLabels } from "../addresses.ts";

/** What the names stand for now. */
export interface NameView {
  service(namespace: string, name: string): ServiceRecord | undefined;
  endpoints(namespace: string, service: string): EndpointsRecord | undefined;
  /** `hostname` and `subdomain` of the pod with that uid. */
  podHost(uid: string): { readonly hostname: string; readonly subdomain: string | undefined } | undefined;
  namespaceExists(name: string): boolean;
  /** The Service with this cluster IP, or undefined. */
  serviceOf(ip: Ip): ServiceRecord | undefined;
  inClusterRange(ip: Ip): boolean;
}

export interface Question {
  /** As asked, without the final dot. */
  readonly name: string;
  /** `A`, `AAAA`, `SRV`, `PTR`, … */
  readonly type: string;
}

export type RecordData =
  | { readonly type: "A" | "AAAA"; readonly name: string; readonly data: string }
  | { readonly type: "PTR"; readonly name: string; readonly data: string }
  | {
      readonly type: "SRV";
      readonly name: string;
      readonly data: { readonly priority: 0; readonly weight: 100; readonly port: number; readonly target: string };
    };

/** `forward`: the name is not the cluster's. `nodata`: the name exists without records of that type. */
export type Answer =
  | { readonly kind: "records"; readonly records: readonly RecordData[] }
  | { readonly kind: "nodata" }
  | { readonly kind: "nxdomain" }
  | { readonly kind: "forward" };

const DOMAIN = DEFAULT_CLUSTER_DOMAIN.split(".");
const NODATA: Answer = { kind: "nodata" };
const NXDOMAIN: Answer = { kind: "nxdomain" };

export function answer(question: Question, view: NameView): Answer {
  const labels = question.name.toLowerCase().split(".");
  if (labels.at(-1) === "arpa") return reverse(question, labels, view);
  const inside =
    labels.length >= DOMAIN.length &&
    DOMAIN.every((label, index) => labels[labels.length - DOMAIN.length + index] === label);
  if (!inside) return { kind: "forward" };
  const rest = labels.slice(0, labels.length - DOMAIN.length);
  if (rest.length === 0) return NODATA;
  const kind = rest.at(-1);
  const namespace = rest.at(-2);
  if (kind === "svc") {
    if (namespace === undefined) return NODATA;
    if (!view.namespaceExists(namespace)) return NXDOMAIN;
    return rest.length === 2 ? NODATA : serviceName(question, rest.slice(0, -2), namespace, view);
  }
  if (kind === "pod" && namespace !== undefined && rest.length === 3)
    return podName(question, rest[0] as string, namespace, view);
  return NXDOMAIN;
}

/** `web`, `0.web`, `_http._tcp.web`. */
function serviceName(question: Question, labels: readonly string[], namespace: string, view: NameView): Answer {
  const name = labels.at(-1) as string;
  const service = view.service(namespace, name);
  if (service === undefined) return NXDOMAIN;
  const endpoints = (view.endpoints(namespace, name)?.endpoints ?? []).filter((endpoint) => endpoint.ready);
  const headless = service.clusterIps.length === 0;
  if (labels.length === 1) {
    const ips = headless ? [...new Set(endpoints.map((endpoint) => endpoint.ip))] : service.clusterIps;
    return headless && endpoints.length === 0 ? NXDOMAIN : addresses(question, ips);
  }
  if (labels.length === 2 && headless) {
    const host = labels[0] as string;
    const ips = endpoints.filter((endpoint) => hostOf(endpoint, name, view) === host).map((endpoint) => endpoint.ip);
    return ips.length === 0 ? NXDOMAIN : addresses(question, ips);
  }
  const [port = "", protocol = ""] = labels;
  if (labels.length !== 3 || !port.startsWith("_") || !protocol.startsWith("_")) return NXDOMAIN;
  const found = service.ports.find(
    (one) => one.name === port.slice(1) && one.protocol.toLowerCase() === protocol.slice(1),
  );
  if (found === undefined) return NXDOMAIN;
  if (question.type !== "SRV") return NODATA;
  const record = (target: string, number: number): RecordData => ({
    type: "SRV",
    name: question.name,
    data: { priority: 0, weight: 100, port: number, target },
  });
  if (!headless) return { kind: "records", records: [record(service.hostname, found.port)] };
  const targets = new Map<string, number>();
  for (const endpoint of endpoints) {
    const target = endpoint.ports.find((one) => one.name === found.name);
    if (target !== undefined) targets.set(`${hostOf(endpoint, name, view)}.${service.hostname}`, target.port);
  }
  return targets.size === 0
    ? NODATA
    : { kind: "records", records: [...targets].map(([target, number]) => record(target, number)) };
}

/** The host label of an endpoint below its headless Service: the pod's hostname when it asks for one, else its address with dashes. */
function hostOf(
  endpoint: { readonly ip: Ip; readonly podUid: string | undefined },
  service: string,
  view: NameView,
): string {
  const host = endpoint.podUid === undefined ? undefined : view.podHost(endpoint.podUid);
  return host?.subdomain === service ? host.hostname : dashed(endpoint.ip);
}

/** `10-244-0-7.default.pod.cluster.local`. */
function podName(question: Question, label: string, namespace: string, view: NameView): Answer {
  if (!view.namespaceExists(namespace)) return NXDOMAIN;
  const ip = parseIp(label.replaceAll("-", ".")) ?? parseIp(label.replaceAll("-", ":"));
  return ip === undefined || !view.inClusterRange(ip) ? NXDOMAIN : addresses(question, [ip]);
}

function reverse(question: Question, labels: readonly string[], view: NameView): Answer {
  const ip = fromReverse(labels);
  if (ip === undefined || !view.inClusterRange(ip)) return { kind: "forward" };
  const service = view.serviceOf(ip);
  if (service === undefined) return NXDOMAIN;
  return question.type === "PTR"
    ? { kind: "records", records: [{ type: "PTR", name: question.name, data: service.hostname }] }
    : NODATA;
}

function fromReverse(labels: readonly string[]): Ip | undefined {
  const zone = labels.at(-2);
  const parts = labels.slice(0, -2).reverse();
  if (zone === "in-addr" && parts.length === 4) return parseIp(parts.join("."));
  if (zone !== "ip6" || parts.length !== 32) return undefined;
  return parseIp(parts.join("").replace(/(....)(?=.)/g, "$1:"));
}

/** The reverse name of an address. */
export function reverseName(ip: Ip): string {
  return [...reverseLabels(ip), isIpv6(ip) ? "ip6" : "in-addr", "arpa"].join(".");
}

function addresses(question: Question, ips: readonly Ip[]): Answer {
  const { type } = question;
  if (type !== "A" && type !== "AAAA") return NODATA;
  const records = ips
    .filter((ip) => isIpv6(ip) === (type === "AAAA"))
    .map((ip) => ({ type, name: question.name, data: ip }) as const);
  return records.length === 0 ? NODATA : { kind: "records", records };
}

function dashed(ip: Ip): string {
  return ip.replaceAll(/[.:]/g, "-");
}
