/** A kind of objects and where the API serves it. */
import { KubeError } from "./errors.ts";
import type { KubeObject } from "./object.ts";

export interface Resource<T extends KubeObject> {
  /** `v1`, or `group/version`. */
  readonly apiVersion: string;
  readonly kind: string;
  /** Lower-case plural, as it stands in paths. */
  readonly plural: string;
  readonly namespaced: boolean;
  /** Never set: ties the kind's type to the value. */
  readonly object?: T;
}

/** A resource from its parts: `resource<Pod>("v1", "Pod", "pods")`. */
export function resource<T extends KubeObject>(
  apiVersion: string,
  kind: string,
  plural: string,
  scope: "namespaced" | "cluster" = "namespaced",
): Resource<T> {
  return { apiVersion, kind, plural, namespaced: scope === "namespaced" };
}

/** Which object, or with no name which collection. Without a namespace a namespaced collection is the whole cluster's. */
export interface Place {
  readonly namespace?: string | undefined;
  readonly name?: string | undefined;
  readonly subresource?: string | undefined;
}

/** The path of a collection, an object or a subresource. */
export function pathOf(of: Resource<KubeObject>, place: Place): string {
  let path = of.apiVersion.includes("/") ? `/apis/${of.apiVersion}` : `/api/${of.apiVersion}`;
  if (of.namespaced && place.namespace !== undefined) path += `/namespaces/${segment(place.namespace)}`;
  if (of.namespaced && place.namespace === undefined && place.name !== undefined)
    throw new KubeError("bad-name", `${of.kind} ${place.name} lives in a namespace, and none was given`);
  path += `/${of.plural}`;
  if (place.name !== undefined) path += `/${segment(place.name)}`;
  if (place.subresource !== undefined) path += `/${segment(place.subresource)}`;
  return path;
}

/** `pods/web in namespace demo`, for messages. */
export function describe(of: Resource<KubeObject>, place: Place): string {
  const what = [of.plural, place.name, place.subresource].filter((part) => part !== undefined).join("/");
  return place.namespace === undefined ? what : `${what} in namespace ${place.namespace}`;
}

/** One path segment. The same names are refused as by the API server; `..` would reach another path of the API. */
function segment(name: string): string {
  if (name === "" || name === "." || name === ".." || /[/%]/.test(name))
    throw new KubeError("bad-name", `${JSON.stringify(name)} cannot be the name of a Kubernetes object`);
  return encodeURIComponent(name);
}
