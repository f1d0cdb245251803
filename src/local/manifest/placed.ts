/** An object of a manifest and where it stands. */
import type { KubernetesObject } from "../kinds.ts";
import type { Position } from "./problems.ts";

/** An object of the manifest and where it stands. */
export interface Placed<T extends KubernetesObject = KubernetesObject> {
  readonly object: T;
  /** Its namespace, `default` when it names none; empty for a Namespace. */
  readonly namespace: string;
  readonly position: Position;
}

/** Identity of an object: kind, namespace, name. */
export function keyOf(placed: Placed): string {
  return `${placed.object.kind}/${placed.namespace}/${placed.object.metadata.name}`;
}

export function subjectOf(object: KubernetesObject): string {
  return `${object.kind}/${object.metadata.name}`;
}
