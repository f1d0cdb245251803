/** What the downward API says of a pod. */
import type { Ip } from "../../mesh/index.ts";

/** The one node's name. */
export const NODE_NAME = "tulle-node";

export interface PodFacts {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly serviceAccount: string;
  readonly ips: readonly Ip[];
  readonly nodeIps: readonly Ip[];
}

/** The value of a fieldRef; undefined for a path that the manifest's check does not let through. */
export function fieldValue(path: string, facts: PodFacts): string | undefined {
  const entry = /^metadata\.(labels|annotations)\['(.+)'\]$/.exec(path);
  if (entry !== null) return facts[entry[1] as "labels" | "annotations"][entry[2] as string] ?? "";
  switch (path) {
    case "metadata.name":
      return facts.name;
    case "metadata.namespace":
      return facts.namespace;
    case "metadata.uid":
      return facts.uid;
    case "metadata.labels":
      return lines(facts.labels);
    case "metadata.annotations":
      return lines(facts.annotations);
    case "spec.nodeName":
      return NODE_NAME;
    case "spec.serviceAccountName":
      return facts.serviceAccount;
    case "status.podIP":
      return facts.ips[0] ?? "";
    case "status.podIPs":
      return facts.ips.join(",");
    case "status.hostIP":
      return facts.nodeIps[0] ?? "";
    case "status.hostIPs":
      return facts.nodeIps.join(",");
    default:
      return undefined;
  }
}

/** `key="value"` lines in the order of the keys, as the downward API writes maps. */
function lines(map: Readonly<Record<string, string>>): string {
  return Object.keys(map)
    .sort()
    .map((key) => `${key}=${JSON.stringify(map[key])}`)
    .join("\n");
}
