/** A kubeconfig context as a connection. The library applies its users: files, tokens, exec plugins, OIDC. */
import { readFileSync } from "node:fs";
import type { RequestOptions } from "node:https";
import type { KubeConfig } from "@kubernetes/client-node";
import type { Connection, Credentials, TlsSettings } from "./connection.ts";
import { KubeError } from "./errors.ts";
import { type KubeConfigClass, type LoadedConfig, loadKubeconfig } from "./kubeconfig.ts";

/** How much of a failed plugin's stderr is shown, in characters: its first lines say how to log in. */
const SHOWN_STDERR = 400;

export class KubeconfigConnection implements Connection {
  readonly server: string;
  readonly namespace: string;
  readonly proxy: string | undefined;
  readonly #load: () => LoadedConfig;
  #loaded: LoadedConfig | undefined;

  /** Throws `bad-config`. */
  constructor(Class: KubeConfigClass, files: readonly string[], context: string | undefined) {
    this.#loaded = loadKubeconfig(Class, files, context);
    // Later readings keep to it: the current context may be another by then, whose credentials are for another server.
    const chosen = this.#loaded.config.getCurrentContext();
    this.#load = () => loadKubeconfig(Class, files, chosen);
    this.server = this.#loaded.server;
    this.namespace = this.#loaded.namespace;
    this.proxy = this.#loaded.proxy;
  }

  async credentials(): Promise<Credentials> {
    this.#loaded ??= this.#load();
    const { config, extras, user } = this.#loaded;
    const options: RequestOptions & { servername?: string } = {};
    try {
      await config.applyToHTTPSOptions(options);
    } catch (error) {
      throw credentialError(error, user?.exec);
    }
    const headers: Record<string, string> = {};
    for (const [name, value] of Object.entries(options.headers ?? {})) headers[name.toLowerCase()] = headerValue(value);
    if (typeof options.auth === "string")
      headers["authorization"] = `Basic ${Buffer.from(options.auth).toString("base64")}`;
    if (extras.tokenFile !== undefined) headers["authorization"] = `Bearer ${headerValue(readToken(extras.tokenFile))}`;
    return { headers, tls: tlsOf(options) };
  }

  refresh(): void {
    // The library keeps a plugin's credential until it says it expires; a new KubeConfig asks the plugin again.
    this.#loaded = undefined;
  }

  async library(): Promise<KubeConfig> {
    this.#loaded ??= this.#load();
    const { config, extras, user } = this.#loaded;
    if (user !== undefined && extras.tokenFile !== undefined) {
      const token = headerValue(readToken(extras.tokenFile));
      config.users = config.users.map((one) => (one.name === user.name ? { ...one, token } : one));
    }
    return config;
  }
}

function tlsOf(options: RequestOptions & { servername?: string }): TlsSettings {
  return {
    ...pemOf("ca", options.ca),
    ...pemOf("cert", options.cert),
    ...pemOf("key", options.key),
    ...(options.servername === undefined ? {} : { serverName: options.servername }),
    ...(options.rejectUnauthorized === false ? { rejectUnauthorized: false } : {}),
  };
}

function pemOf<K extends "ca" | "cert" | "key">(field: K, value: unknown): { [key in K]?: string | Buffer } {
  return typeof value === "string" || Buffer.isBuffer(value)
    ? ({ [field]: value } as { [key in K]?: string | Buffer })
    : {};
}

/** A value that may stand in a header; a broken one is not shown, since it may be a token. */
function headerValue(value: unknown): string {
  const text = String(value).trim();
  if (!/^[\x20-\x7e]+$/.test(text))
    throw new KubeError("no-credentials", "the user's token in the kubeconfig is no token");
  return text;
}

function readToken(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (cause) {
    throw new KubeError("no-credentials", `cannot read the token file ${file}`, { cause });
  }
}

/** The cause is not kept: a plugin's output and a token endpoint's answer hold secrets. */
function credentialError(error: unknown, exec: unknown): KubeError {
  const code = error instanceof Error && "code" in error ? String(error.code) : undefined;
  const path = error instanceof Error && "path" in error ? String(error.path) : undefined;
  if (typeof exec === "object" && exec !== null && "command" in exec) {
    const plugin = `the credential plugin ${String(exec.command)} of the kubeconfig`;
    if (code === "ENOENT")
      return new KubeError("no-credentials", `${plugin} is not installed`, {
        hint: "Install it, or correct its path.",
      });
    // The library's own Error holds the plugin's stderr; every other error may quote its stdout, the credential.
    if (error instanceof Error && error.constructor === Error) {
      const said = error.message.trim().slice(0, SHOWN_STDERR);
      return new KubeError("no-credentials", `${plugin} failed${said === "" ? "" : `: ${said}`}`);
    }
    return new KubeError("no-credentials", `${plugin} did not print an ExecCredential`);
  }
  if (path !== undefined)
    return new KubeError("no-credentials", `cannot read ${path}${code === undefined ? "" : ` (${code})`}`);
  return new KubeError("no-credentials", "the kubeconfig's user could not be authenticated", {
    hint: "Log in again with kubectl.",
  });
}
