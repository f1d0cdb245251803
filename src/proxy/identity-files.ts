/** The projected volume: the token and the bootstrap bundle, read again before every attempt because the kubelet renews them. */
import { join } from "node:path";
import { type Der, pemDecode } from "../identity/index.ts";
import { ROOT_CERTIFICATE_FILE, TOKEN_FILE } from "../mesh/index.ts";
import { ProxyError } from "./errors.ts";

/** Larger than any of the two files can honestly be. */
const SIZE_LIMIT = 1024 * 1024;

export class IdentityFiles {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** The service-account token. Throws ProxyError `unreadable-file`. */
  async token(): Promise<string> {
    const token = (await this.#read(TOKEN_FILE)).trim();
    if (!/^[\x21-\x7e]+$/.test(token)) throw unreadable(join(this.#directory, TOKEN_FILE), "it holds no token");
    return token;
  }

  /** The bootstrap roots. Throws ProxyError `unreadable-file`. */
  async roots(): Promise<readonly Der[]> {
    const text = await this.#read(ROOT_CERTIFICATE_FILE);
    try {
      return pemDecode("CERTIFICATE", text);
    } catch (error) {
      throw unreadable(join(this.#directory, ROOT_CERTIFICATE_FILE), "it holds no certificate", error);
    }
  }

  async #read(name: string): Promise<string> {
    const path = join(this.#directory, name);
    const file = Bun.file(path);
    try {
      if (file.size > SIZE_LIMIT) throw new Error("it is too large");
      return await file.text();
    } catch (error) {
      throw unreadable(path, error instanceof Error ? error.message : String(error), error);
    }
  }
}

function unreadable(path: string, why: string, cause?: unknown): ProxyError {
  return new ProxyError("unreadable-file", `cannot read ${path}: ${why}`, {
    hint: "The injector mounts this volume into the proxy's container; the pod's volumes may have been changed.",
    cause,
  });
}
