/** Keys and certificates of a test's API server, made by openssl in a folder. */
import { join } from "node:path";
import { certificate } from "../support/openssl.ts";

/** Makes `name.key` and `name.crt`; `openssl req` arguments decide what it is. */
function request(folder: string, name: string, subject: string, ...more: string[]): void {
  certificate({ key: join(folder, `${name}.key`), crt: join(folder, `${name}.crt`) }, subject, ...more);
}

export function makeCa(folder: string, name: string): void {
  request(
    folder,
    name,
    `/CN=${name}`,
    "-addext",
    "basicConstraints=critical,CA:TRUE",
    "-addext",
    "keyUsage=critical,digitalSignature,keyCertSign,cRLSign",
  );
}

export function makeLeaf(
  folder: string,
  name: string,
  subject: string,
  use: "clientAuth" | "serverAuth",
  names?: string,
): void {
  request(
    folder,
    name,
    subject,
    "-CA",
    join(folder, "ca.crt"),
    "-CAkey",
    join(folder, "ca.key"),
    "-addext",
    "basicConstraints=critical,CA:FALSE",
    "-addext",
    `extendedKeyUsage=${use}`,
    ...(names === undefined ? [] : ["-addext", `subjectAltName=${names}`]),
  );
}

/** The RSA key that signs service-account tokens. */
export function makeTokenKey(folder: string): void {
  for (const args of [
    ["genrsa", "-out", join(folder, "sa.key"), "2048"],
    ["rsa", "-in", join(folder, "sa.key"), "-pubout", "-out", join(folder, "sa.pub")],
  ])
    if (!Bun.spawnSync(["openssl", ...args], { stdout: "ignore", stderr: "ignore" }).success)
      throw new Error("openssl could not make the key of service-account tokens");
}
