/** Keys and certificates of a test's API server, made by openssl in a folder. */
import { join } from "node:path";

/** Makes `name.key` and `name.crt`; `openssl req` arguments decide what it is. */
function request(folder: string, name: string, subject: string, ...more: string[]): void {
  const done = Bun.spawnSync(
    [
      "openssl",
      "req",
      "-x509",
      "-newkey",
      "ec",
      "-pkeyopt",
      "ec_paramgen_curve:prime256v1",
      "-nodes",
      "-days",
      "30",
      "-subj",
      subject,
      "-keyout",
      join(folder, `${name}.key`),
      "-out",
      join(folder, `${name}.crt`),
      ...more,
    ],
    { stdout: "ignore", stderr: "pipe" },
  );
  if (!done.success) throw new Error(`openssl could not make ${name}: ${done.stderr.toString()}`);
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
