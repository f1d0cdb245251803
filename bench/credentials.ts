/** One authority for all pairs that take certificates from files: the project's own, so that chains are as long as Tulle's. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { systemClock, systemRandom } from "../src/cli/system.ts";
import { Authority, KeyPair, parseSpiffeId, parseTrustDomain, pemEncode } from "../src/identity/index.ts";

const TRUST_DOMAIN = "cluster.local";
const NAMESPACE = "bench";

/** An end of a pair. Its name is also that of its service account and, in its certificate, its DNS name. */
export type End = "client" | "server";

export interface CredentialFiles {
  /** Leaf and intermediate. */
  readonly certificate: string;
  readonly key: string;
  /** Both in one file. */
  readonly both: string;
}

export interface Credentials extends Readonly<Record<End, CredentialFiles>> {
  readonly roots: string;
}

export function spiffeId(end: End): string {
  return `spiffe://${TRUST_DOMAIN}/ns/${NAMESPACE}/sa/${end}`;
}

/** Makes both ends' keys and certificates (ECDSA P-256) in the folder. */
export function writeCredentials(folder: string): Credentials {
  const trustDomain = parseTrustDomain(TRUST_DOMAIN);
  const authority = Authority.create({ trustDomain, clock: systemClock, random: systemRandom });
  const write = (file: string, text: string): string => {
    const path = join(folder, file);
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  };
  const issue = (end: End): CredentialFiles => {
    const pair = KeyPair.generate();
    const id = parseSpiffeId(spiffeId(end));
    const { chain } = authority.issueServer({ spki: pair.spki, id, dnsNames: [end], ips: [] });
    const certificate = chain.map((der) => pemEncode("CERTIFICATE", der)).join("");
    const key = pair.privateKeyPem();
    return {
      certificate: write(`${end}.crt`, certificate),
      key: write(`${end}.key`, key),
      both: write(`${end}.pem`, certificate + key),
    };
  };
  return { roots: write("roots.crt", authority.bundle().pem()), client: issue("client"), server: issue("server") };
}
