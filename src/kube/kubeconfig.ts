/**
 * Kubeconfig files merged and read as kubectl does. The official library parses them and runs the credential plugins; what
 * it takes differently from kubectl is put right here.
 */
import { readFileSync } from "node:fs";
import { dirname, isAbsolute, join } from "node:path";
import type { KubeConfig, User } from "@kubernetes/client-node";
import { parse } from "yaml";
import { KubeError } from "./errors.ts";

/** The `KubeConfig` class, passed in because the library is imported lazily (58 MB). */
export type KubeConfigClass = new () => KubeConfig;

/** What of the chosen user the library does not read. */
export interface UserExtras {
  /** Bearer token in a file, read for every request (kubeconfig v1 `tokenFile`, which wins over `token`). */
  readonly tokenFile?: string;
  /** A field that the library drops in silence, so that Tulle would act with other rights than the file asks for. */
  readonly impersonation?: string;
}

export interface LoadedConfig {
  readonly config: KubeConfig;
  readonly server: string;
  readonly namespace: string;
  readonly proxy: string | undefined;
  readonly user: User | undefined;
  readonly extras: UserExtras;
}

/** Reads the files and picks a context. Throws `bad-config`, whose messages never show the content of a file. */
export function loadKubeconfig(
  Class: KubeConfigClass,
  files: readonly string[],
  context: string | undefined,
): LoadedConfig {
  const config = new Class();
  config.loadFromOptions({ clusters: [], users: [], contexts: [], currentContext: undefined });
  const extras = new Map<string, UserExtras>();
  for (const file of files) mergeFile(Class, config, extras, file);
  const name = context ?? config.getCurrentContext();
  const chosen = config.getContexts().find((one) => one.name === name);
  if (name === undefined || name === "" || chosen === undefined) {
    const names = config.getContexts().map((one) => one.name);
    throw bad(files, name ? `has no context ${JSON.stringify(name)}` : "names no current-context", {
      hint:
        names.length === 0 ? "Get a kubeconfig of the cluster." : `Pass --context with one of: ${names.join(", ")}.`,
    });
  }
  config.setCurrentContext(chosen.name);
  const cluster = config.getCurrentCluster();
  if (cluster === null)
    throw bad(files, `context ${chosen.name} names the cluster ${chosen.cluster}, which is not there`);
  const server = serverOf(cluster.server, files);
  // Without TLS there is nothing to skip, but the library refuses plain HTTP (`kubectl proxy`) unless told so.
  if (server.startsWith("http:"))
    config.clusters = config.clusters.map((one) => (one.name === cluster.name ? { ...one, skipTLSVerify: true } : one));
  const user = config.getCurrentUser() ?? undefined;
  if (user === undefined && chosen.user)
    throw bad(files, `context ${chosen.name} names the user ${chosen.user}, which is not there`);
  const ofUser = (user === undefined ? undefined : extras.get(user.name)) ?? {};
  if (ofUser.impersonation !== undefined)
    throw bad(files, `asks for impersonation by ${ofUser.impersonation}, which Tulle does not do`);
  return { config, server, namespace: chosen.namespace ?? "default", proxy: cluster.proxyUrl, user, extras: ofUser };
}

/** The first file that has a name wins, as in kubectl; the library alone would throw, and take the last context. */
function mergeFile(Class: KubeConfigClass, into: KubeConfig, extras: Map<string, UserExtras>, file: string): void {
  const next = new Class();
  let raw: RawConfig;
  try {
    const text = readFileSync(file, "utf8");
    raw = (parse(text) ?? {}) as RawConfig;
    next.loadFromString(text.trim() === "" ? "{}" : text);
    next.makePathsAbsolute(dirname(file));
  } catch (error) {
    const missing = error instanceof Error && "code" in error && error.code === "ENOENT";
    throw missing
      ? bad([file], "is not there")
      : bad([file], "is not a kubeconfig: it is no YAML, or an entry lacks its name");
  }
  for (const user of raw.users ?? []) if (!extras.has(user.name)) extras.set(user.name, extrasOf(user, file));
  into.clusters = firstWins(into.clusters, next.clusters);
  into.users = firstWins(
    into.users,
    next.users.map((user) => ({ ...user, exec: withExecInfo(user.exec, dirname(file)) })),
  );
  into.contexts = firstWins(into.contexts, next.contexts);
  if (!into.getCurrentContext() && next.getCurrentContext()) into.setCurrentContext(next.getCurrentContext());
}

interface RawConfig {
  readonly users?: readonly RawUser[];
}

interface RawUser {
  readonly name: string;
  readonly user?: Readonly<Record<string, unknown>>;
}

function extrasOf(raw: RawUser, file: string): UserExtras {
  const user = raw.user ?? {};
  const impersonation = ["as-uid", "as-groups", "as-user-extra"].find((field) => user[field] !== undefined);
  const tokenFile = user["tokenFile"];
  return {
    ...(impersonation === undefined ? {} : { impersonation }),
    ...(typeof tokenFile !== "string" || tokenFile === ""
      ? {}
      : { tokenFile: isAbsolute(tokenFile) ? tokenFile : join(dirname(file), tokenFile) }),
  };
}

interface ExecPlugin {
  readonly apiVersion?: string;
  readonly command?: string;
  readonly env?: readonly { readonly name: string; readonly value: string }[] | null;
}

/**
 * kubectl tells a plugin which version to speak in KUBERNETES_EXEC_INFO, and several plugins refuse to run without; the
 * library does not. A command with a slash is relative to the file's folder, not to where Tulle was started.
 */
function withExecInfo(exec: unknown, folder: string): unknown {
  if (typeof exec !== "object" || exec === null) return exec;
  const plugin = exec as ExecPlugin;
  const info = {
    kind: "ExecCredential",
    apiVersion: plugin.apiVersion ?? "client.authentication.k8s.io/v1",
    spec: { interactive: false },
  };
  const { command } = plugin;
  return {
    ...plugin,
    ...(command?.includes("/") && !isAbsolute(command) ? { command: join(folder, command) } : {}),
    env: [...(plugin.env ?? []), { name: "KUBERNETES_EXEC_INFO", value: JSON.stringify(info) }],
  };
}

function serverOf(server: string, files: readonly string[]): string {
  let url: URL;
  try {
    url = new URL(server);
  } catch {
    throw bad(files, "has a server that is no URL");
  }
  if (url.protocol !== "https:" && url.protocol !== "http:")
    throw bad(files, "has a server that is neither https nor http");
  // A password in the URL would end up in messages.
  if (url.username !== "" || url.password !== "") throw bad(files, "has a user name or password in the server's URL");
  return server.replace(/\/+$/, "");
}

function firstWins<N extends { readonly name: string }>(have: readonly N[], more: readonly N[]): N[] {
  return [...have, ...more.filter((one) => !have.some((other) => other.name === one.name))];
}

function bad(files: readonly string[], what: string, options: { readonly hint?: string } = {}): KubeError {
  return new KubeError("bad-config", `kubeconfig ${files.join(", ")} ${what}`, options);
}
