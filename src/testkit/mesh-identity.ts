/** Certificates of a mesh CA for tests, in the form that TLS libraries take. */
import { type Authority, createCsr, KeyPair, parseSpiffeId, pemEncode, type SpiffeId } from "../identity/index.ts";
import type { Millis } from "../mesh/index.ts";

export interface TlsIdentity {
  readonly id: SpiffeId;
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
  readonly serial: string;
}

/** A workload's certificate with a new key. */
export function issueIdentity(authority: Authority, id: string, lifetime?: Millis): TlsIdentity {
  const spiffeId = parseSpiffeId(id);
  const key = KeyPair.generate();
  const issued = authority.issueWorkload({
    csr: createCsr(key, spiffeId),
    id: spiffeId,
    podUid: "pod-uid",
    ...(lifetime === undefined ? {} : { lifetime }),
  });
  const cert = issued.chain.map((der) => pemEncode("CERTIFICATE", der)).join("");
  return { id: spiffeId, cert, key: key.privateKeyPem(), ca: authority.bundle().pem(), serial: issued.serial };
}
