/** The environment of a container: the image's, envFrom, env in order, each seeing those before it. */
import { LocalError } from "../errors.ts";
import type { ContainerSpec } from "../kinds.ts";
import { fieldValue, type PodFacts } from "../runner/facts.ts";
import { expand } from "./environment.ts";

/** Reads a ConfigMap of the pod's namespace. */
export type ConfigMapLookup = (name: string) => Readonly<Record<string, string>> | undefined;

/** containerd's default PATH. */
export const DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** Variables by name. Throws LocalError `config-map-missing` for a reference that is not optional. */
export function variablesOf(
  container: Pick<ContainerSpec, "env" | "envFrom">,
  facts: PodFacts,
  hostname: string,
  configMap: ConfigMapLookup,
): ReadonlyMap<string, string> {
  const values = new Map<string, string>([
    ["PATH", DEFAULT_PATH],
    ["HOSTNAME", hostname],
  ]);
  for (const { prefix, configMapRef } of container.envFrom ?? []) {
    const data = configMap(configMapRef.name);
    if (data === undefined && configMapRef.optional !== true) throw missing(configMapRef.name);
    for (const [key, value] of Object.entries(data ?? {})) values.set(`${prefix ?? ""}${key}`, value);
  }
  for (const { name, value, valueFrom } of container.env ?? []) {
    if (valueFrom?.fieldRef !== undefined) {
      values.set(name, fieldValue(valueFrom.fieldRef.fieldPath, facts) ?? "");
    } else if (valueFrom?.configMapKeyRef !== undefined) {
      const { name: map, key, optional } = valueFrom.configMapKeyRef;
      const found = configMap(map)?.[key];
      if (found !== undefined) values.set(name, found);
      else if (optional !== true) throw missing(map, key);
    } else values.set(name, expand(value ?? "", values));
  }
  return values;
}

function missing(name: string, key?: string): LocalError {
  const what = key === undefined ? `ConfigMap "${name}" is missing` : `ConfigMap "${name}" has no key "${key}"`;
  return new LocalError("config-map-missing", what, { hint: "add it with `tulle apply -f FILE`" });
}
