/** The projected volume of a pod in a temporary folder: token and bootstrap roots. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Authority } from "../identity/index.ts";
import { ROOT_CERTIFICATE_FILE, TOKEN_FILE } from "../mesh/index.ts";

export class IdentityDirectory implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), "tulle-identity-"));

  /** `token`: `<namespace>/<service account>`, as the fake operator reads it. */
  constructor(authority: Authority, token = "shop/web") {
    this.writeToken(`${token}\n`);
    this.writeRoots(authority.bundle().pem());
  }

  writeToken(text: string): void {
    writeFileSync(join(this.path, TOKEN_FILE), text);
  }

  writeRoots(pem: string): void {
    writeFileSync(join(this.path, ROOT_CERTIFICATE_FILE), pem);
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}
