/** The parts of Kubernetes objects that every kind has. A kind's own fields are declared where they are used. */
import type { Millis } from "../mesh/index.ts";

/** What this room reads of metav1.ObjectMeta. Fields it does not name stay in the object untouched. */
export interface ObjectMeta {
  readonly name: string;
  readonly generateName?: string;
  readonly namespace?: string;
  readonly uid?: string;
  /** Opaque: compared for equality only. */
  readonly resourceVersion?: string;
  readonly generation?: number;
  readonly creationTimestamp?: string | null;
  readonly deletionTimestamp?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly ownerReferences?: readonly OwnerReference[];
  readonly finalizers?: readonly string[];
  readonly managedFields?: readonly ManagedFields[];
}

/** Which fields a manager has written, and when it last changed one of them (metav1.ManagedFieldsEntry). */
export interface ManagedFields {
  readonly time?: string;
  /** The fields as a tree: `{"f:metadata": {"f:labels": {"f:app": {}}}}`. */
  readonly fieldsV1?: unknown;
}

export interface OwnerReference {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
  readonly controller?: boolean;
}

export interface KubeObject {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly metadata: ObjectMeta;
}

/** An object as it is sent to be created: its name may be left to the server. */
export type Draft<T extends KubeObject> = Omit<T, "metadata"> & { readonly metadata?: Partial<ObjectMeta> };

export interface KubeList<T extends KubeObject> {
  readonly metadata: {
    /** Where a watch may begin to miss nothing after this list. */
    readonly resourceVersion?: string;
    /** Names the next page; absent on the last. */
    readonly continue?: string;
    readonly remainingItemCount?: number;
  };
  readonly items: readonly T[];
}

/** Points at an object, as Events do (core/v1 ObjectReference). */
export interface ObjectReference {
  readonly apiVersion?: string;
  readonly kind: string;
  readonly namespace?: string;
  readonly name: string;
  readonly uid?: string;
  readonly resourceVersion?: string;
}

/** A reference to the given object. List items carry no kind, so the kind of their resource is passed. */
export function referenceTo(
  resource: { readonly apiVersion: string; readonly kind: string },
  object: KubeObject,
): ObjectReference {
  const { namespace, name, uid } = object.metadata;
  return {
    apiVersion: resource.apiVersion,
    kind: resource.kind,
    name,
    ...(namespace === undefined ? {} : { namespace }),
    ...(uid === undefined ? {} : { uid }),
  };
}

/**
 * The latest time at which the label can have been written: its manager's last change, of the label or of what else it manages.
 * Undefined without the label, or where the server does not tell.
 */
export function labelWrittenAt({ metadata }: KubeObject, label: string): Millis | undefined {
  const times = (metadata.managedFields ?? [])
    .filter(({ fieldsV1 }) => at(at(at(fieldsV1, "f:metadata"), "f:labels"), `f:${label}`) !== undefined)
    .map(({ time }) => Date.parse(time ?? ""))
    .filter((time) => !Number.isNaN(time));
  return metadata.labels?.[label] === undefined || times.length === 0 ? undefined : Math.max(...times);
}

function at(tree: unknown, field: string): unknown {
  return typeof tree === "object" && tree !== null ? (tree as Record<string, unknown>)[field] : undefined;
}
