/** Typed calls of the Kubernetes API. An object keeps every field that the server sent, known to its type or not. */
import type { Clock, Millis } from "../mesh/index.ts";
import type { Connection } from "./connection.ts";
import { isKubeError } from "./errors.ts";
import type { Draft, KubeList, KubeObject } from "./object.ts";
import { encodePatch, type Patch } from "./patch.ts";
import { describe, type Place, pathOf, type Resource } from "./resource.ts";
import type { Status } from "./status.ts";
import { type Call, Transport } from "./transport.ts";

export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
  /** Default 30 s. */
  readonly timeout?: Millis | undefined;
}

export interface WriteOptions extends CallOptions {
  /** Who is noted as the manager of the fields written. */
  readonly fieldManager?: string;
  /** The server does everything but keep the result. */
  readonly dryRun?: boolean;
  /** `Strict` refuses fields that the kind does not have; the server's default only warns. */
  readonly fieldValidation?: "Strict" | "Warn" | "Ignore";
}

export interface ListOptions extends CallOptions {
  readonly namespace?: string | undefined;
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
  /** Most objects in one answer. */
  readonly limit?: number | undefined;
  readonly continue?: string | undefined;
  readonly resourceVersion?: string | undefined;
}

export interface DeleteOptions extends CallOptions {
  /** Refused with `conflict` when the object is another one, or was changed since. */
  readonly preconditions?: { readonly uid?: string; readonly resourceVersion?: string };
  readonly propagation?: "Foreground" | "Background" | "Orphan";
  readonly gracePeriodSeconds?: number;
}

/** Names one object; the namespace is left out for kinds that have none. */
export interface Name {
  readonly namespace?: string | undefined;
  readonly name: string;
  /** `status`, `scale`, `approval`… instead of the object itself. */
  readonly subresource?: string;
}

export interface ClientOptions {
  readonly connection: Connection;
  readonly clock: Clock;
  /** `user-agent`, as it stands in the API server's audit log. */
  readonly agent: string;
}

/** Every method throws `KubeError`. Disposing closes the idle connections. */
export class KubeClient implements Disposable {
  readonly transport: Transport;
  /** The namespace of the kubeconfig context or of the pod. */
  readonly namespace: string;

  constructor({ connection, clock, agent }: ClientOptions) {
    this.transport = new Transport(connection, clock, agent);
    this.namespace = connection.namespace;
  }

  get<T extends KubeObject>(of: Resource<T>, name: Name, options: CallOptions = {}): Promise<T> {
    return this.transport.json(call("GET", "get", of, name, options));
  }

  /** One page, or all when there is no limit. */
  list<T extends KubeObject>(of: Resource<T>, options: ListOptions = {}): Promise<KubeList<T>> {
    return this.transport.json({
      ...call("GET", "list", of, { namespace: options.namespace }, options),
      query: selection(options),
    });
  }

  /** Page after page of one consistent list. A page may throw `expired`: the list then begins again. */
  async *pages<T extends KubeObject>(of: Resource<T>, options: ListOptions = {}): AsyncGenerator<KubeList<T>, void> {
    let token = options.continue;
    do {
      const page: KubeList<T> = await this.list(of, { ...options, limit: options.limit ?? 500, continue: token });
      yield page;
      token = page.metadata.continue || undefined;
    } while (token !== undefined);
  }

  /** The namespace is that of the options, else of the object. */
  create<T extends KubeObject>(
    of: Resource<T>,
    object: Draft<T>,
    options: WriteOptions & { readonly namespace?: string | undefined } = {},
  ): Promise<T> {
    const place = { namespace: options.namespace ?? object.metadata?.namespace };
    return this.transport.json({
      ...call("POST", "create", of, place, options),
      query: writing(options),
      body: typed(of, object),
    });
  }

  /** Posts to a subresource: `token`, `eviction`, `binding`. `R` is what comes back. */
  createUnder<T extends KubeObject, R>(
    of: Resource<T>,
    name: Required<Pick<Name, "name" | "subresource">> & Name,
    body: object,
    options: WriteOptions = {},
  ): Promise<R> {
    return this.transport.json({
      ...call("POST", "create", of, name, options),
      query: writing(options),
      body,
    });
  }

  /** Replaces the object; its `resourceVersion` makes a change by another a `conflict`. */
  update<T extends KubeObject>(
    of: Resource<T>,
    object: T,
    options: WriteOptions & { readonly subresource?: string } = {},
  ): Promise<T> {
    const { namespace, name } = object.metadata;
    const place = { namespace, name, subresource: options.subresource };
    return this.transport.json({
      ...call("PUT", "update", of, place, options),
      query: writing(options),
      body: typed(of, object),
    });
  }

  patch<T extends KubeObject>(of: Resource<T>, name: Name, patch: Patch, options: WriteOptions = {}): Promise<T> {
    const query = writing(options);
    if (patch.kind === "apply") {
      query.set("fieldManager", patch.manager);
      if (patch.force === true) query.set("force", "true");
    }
    return this.transport.json({
      ...call("PATCH", patch.kind === "apply" ? "apply" : "patch", of, name, options),
      query,
      ...encodePatch(patch),
    });
  }

  /** Server-side apply of the fields in `object`, which creates it when it is not there. See `Patch`. */
  apply<T extends KubeObject>(
    of: Resource<T>,
    object: Draft<T> & { readonly metadata: { readonly name: string } },
    options: WriteOptions & { readonly fieldManager: string; readonly force?: boolean; readonly subresource?: string },
  ): Promise<T> {
    const { namespace, name } = object.metadata;
    const { subresource, force } = options;
    return this.patch(
      of,
      { namespace, name, ...(subresource === undefined ? {} : { subresource }) },
      {
        kind: "apply",
        value: typed(of, object),
        manager: options.fieldManager,
        ...(force === undefined ? {} : { force }),
      },
      options,
    );
  }

  /** The object while finalizers or a grace period hold it, else a Status of success. */
  delete<T extends KubeObject>(of: Resource<T>, name: Name, options: DeleteOptions = {}): Promise<T | Status> {
    const { preconditions, propagation, gracePeriodSeconds } = options;
    return this.transport.json({
      ...call("DELETE", "delete", of, name, options),
      body: {
        apiVersion: "v1",
        kind: "DeleteOptions",
        ...(preconditions === undefined ? {} : { preconditions }),
        ...(propagation === undefined ? {} : { propagationPolicy: propagation }),
        ...(gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds }),
      },
    });
  }

  /**
   * Reads, changes and writes back, again from the reading when another was faster (at most 5 times, then `conflict`).
   * `change` returns the new object, or undefined to leave it.
   */
  async modify<T extends KubeObject>(
    of: Resource<T>,
    name: Name,
    change: (object: T) => T | undefined,
    options: WriteOptions = {},
  ): Promise<T> {
    for (let attempt = 1; ; attempt += 1) {
      const object = await this.get(of, name, options);
      const changed = change(object);
      if (changed === undefined) return object;
      try {
        return await this.update(of, changed, {
          ...options,
          ...(name.subresource === undefined ? {} : { subresource: name.subresource }),
        });
      } catch (error) {
        if (attempt === 5 || !isKubeError(error, "conflict")) throw error;
      }
    }
  }

  /** GET of any path: `/readyz?verbose`, `/openapi/v3`, `/metrics`. */
  raw(path: string, options: CallOptions & { readonly accept?: string } = {}): Promise<string> {
    const [bare = path, query] = path.split("?", 2);
    return this.transport.text({
      method: "GET",
      path: bare,
      ...(query === undefined ? {} : { query: new URLSearchParams(query) }),
      accept: options.accept ?? "*/*",
      what: `get ${bare}`,
      signal: options.signal,
      timeout: options.timeout,
    });
  }

  [Symbol.dispose](): void {
    this.transport[Symbol.dispose]();
  }
}

/** Selectors and paging as query parameters. */
export function selection(options: Omit<ListOptions, keyof CallOptions>): URLSearchParams {
  const query = new URLSearchParams();
  if (options.labelSelector !== undefined) query.set("labelSelector", options.labelSelector);
  if (options.fieldSelector !== undefined) query.set("fieldSelector", options.fieldSelector);
  if (options.limit !== undefined && options.limit > 0) query.set("limit", String(options.limit));
  if (options.continue !== undefined) query.set("continue", options.continue);
  if (options.resourceVersion !== undefined) query.set("resourceVersion", options.resourceVersion);
  return query;
}

function writing(options: WriteOptions): URLSearchParams {
  const query = new URLSearchParams();
  if (options.fieldManager !== undefined) query.set("fieldManager", options.fieldManager);
  if (options.dryRun === true) query.set("dryRun", "All");
  if (options.fieldValidation !== undefined) query.set("fieldValidation", options.fieldValidation);
  return query;
}

function call(
  method: Call["method"],
  verb: string,
  of: Resource<KubeObject>,
  place: Place,
  options: CallOptions,
): Call {
  return {
    method,
    path: pathOf(of, place),
    what: `${verb} ${describe(of, place)}`,
    signal: options.signal,
    timeout: options.timeout,
  };
}

/** List items carry no apiVersion and kind; a write needs both. */
function typed(of: Resource<KubeObject>, object: object): object {
  return { ...object, apiVersion: of.apiVersion, kind: of.kind };
}
