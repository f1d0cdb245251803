/** The objects behind `FakeApiServer`: resource versions, a history that can be compacted, and pages over snapshots. */
import type { KubeObject } from "../kube/index.ts";

export interface FakeEvent {
  readonly version: number;
  readonly type: "ADDED" | "MODIFIED" | "DELETED";
  /** Path of the collection of the kind over all namespaces: `/api/v1/pods`. */
  readonly kind: string;
  readonly object: KubeObject;
}

/** A refusal, as metav1.Status says it. */
export class FakeRefusal extends Error {
  readonly code: number;
  readonly reason: string;

  constructor(code: number, reason: string, message: string) {
    super(message);
    this.code = code;
    this.reason = reason;
  }
}

export class FakeApiStorage {
  #version = 100;
  #compacted = 0;
  #uids = 0;
  readonly #objects = new Map<string, KubeObject>();
  readonly #history: FakeEvent[] = [];
  readonly #snapshots = new Map<string, { readonly version: number; readonly rest: readonly KubeObject[] }>();
  readonly #listeners = new Set<(event: FakeEvent) => void>();

  get version(): number {
    return this.#version;
  }

  follow(listener: (event: FakeEvent) => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  get(kind: string, namespace: string | undefined, name: string): KubeObject {
    const found = this.#objects.get(keyOf(kind, namespace, name));
    if (found === undefined) throw new FakeRefusal(404, "NotFound", `${kind} ${name} not found`);
    return found;
  }

  create(kind: string, namespace: string | undefined, draft: Partial<KubeObject>): KubeObject {
    const meta = draft.metadata;
    const name = meta?.name ?? `${meta?.generateName ?? ""}${(this.#uids + 1).toString(36).padStart(5, "x")}`;
    if (this.#objects.has(keyOf(kind, namespace, name)))
      throw new FakeRefusal(409, "AlreadyExists", `${kind} ${name} already exists`);
    this.#uids += 1;
    const uid = `uid-${this.#uids}`;
    return this.#put("ADDED", kind, {
      ...draft,
      metadata: { ...meta, name, uid, ...(namespace === undefined ? {} : { namespace }) },
    });
  }

  update(kind: string, namespace: string | undefined, name: string, object: KubeObject): KubeObject {
    const before = this.get(kind, namespace, name);
    const { resourceVersion, uid } = object.metadata;
    if (resourceVersion !== undefined && resourceVersion !== before.metadata.resourceVersion)
      throw new FakeRefusal(
        409,
        "Conflict",
        `the object has been modified; please apply your changes to the latest version`,
      );
    if (uid !== undefined && uid !== before.metadata.uid) throw new FakeRefusal(409, "Conflict", "uid mismatch");
    const metadata = {
      ...object.metadata,
      name,
      uid: before.metadata.uid ?? "",
      ...(namespace === undefined ? {} : { namespace }),
    };
    return this.#put("MODIFIED", kind, { ...object, metadata });
  }

  delete(
    kind: string,
    namespace: string | undefined,
    name: string,
    preconditions: { uid?: string; resourceVersion?: string } = {},
  ): KubeObject {
    const before = this.get(kind, namespace, name);
    for (const field of ["uid", "resourceVersion"] as const)
      if (preconditions[field] !== undefined && preconditions[field] !== before.metadata[field])
        throw new FakeRefusal(409, "Conflict", `Precondition failed: ${field}`);
    return this.#put("DELETED", kind, before);
  }

  /** One page of a snapshot; later pages are of the same version as the first. */
  list(
    kind: string,
    namespace: string | undefined,
    limit: number,
    token: string | null,
  ): { version: number; items: readonly KubeObject[]; next: string | undefined } {
    let version = this.#version;
    let rest = [...this.#objects.entries()]
      .filter(
        ([key, object]) =>
          key.startsWith(`${kind}|`) && (namespace === undefined || object.metadata.namespace === namespace),
      )
      .map(([, object]) => object);
    if (token !== null) {
      const snapshot = this.#snapshots.get(token);
      if (snapshot === undefined) throw new FakeRefusal(410, "Expired", "The provided continue parameter is too old");
      ({ version } = snapshot);
      rest = [...snapshot.rest];
    }
    if (limit <= 0 || rest.length <= limit) return { version, items: rest, next: undefined };
    const next = `c${version}-${rest.length}-${this.#snapshots.size}`;
    this.#snapshots.set(next, { version, rest: rest.slice(limit) });
    return { version, items: rest.slice(0, limit), next };
  }

  /** Events of the kind after the version; throws 410 when some were forgotten. */
  since(kind: string, version: number): readonly FakeEvent[] {
    if (version < this.#compacted)
      throw new FakeRefusal(410, "Expired", `too old resource version: ${version} (${this.#compacted})`);
    return this.#history.filter((event) => event.kind === kind && event.version > version);
  }

  /** Forgets the history and every page token, as etcd's compaction does. */
  compact(): void {
    this.#version += 1;
    this.#compacted = this.#version;
    this.#history.length = 0;
    this.#snapshots.clear();
  }

  #put(type: FakeEvent["type"], kind: string, object: KubeObject): KubeObject {
    this.#version += 1;
    const stored = { ...object, metadata: { ...object.metadata, resourceVersion: String(this.#version) } };
    const key = keyOf(kind, stored.metadata.namespace, stored.metadata.name);
    if (type === "DELETED") this.#objects.delete(key);
    else this.#objects.set(key, stored);
    const event: FakeEvent = { version: this.#version, type, kind, object: stored };
    this.#history.push(event);
    for (const listener of this.#listeners) listener(event);
    return stored;
  }
}

function keyOf(kind: string, namespace: string | undefined, name: string): string {
  return `${kind}|${namespace ?? ""}|${name}`;
}
