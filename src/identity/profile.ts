/** The fixed parts of our certificate profile, as DER (RFC 5280 §4, X509-SVID §4). */
import { type Der, TAG } from "./der.ts";
import {
  bitString,
  element,
  explicit,
  implicit,
  namedBits,
  octetString,
  oid,
  sequence,
  setOf,
  TRUE,
  unsignedInteger,
  utf8String,
} from "./der-writer.ts";
import { OID } from "./oids.ts";

/** Bits of keyUsage by name, in the order of RFC 5280 §4.2.1.3. */
export const KEY_USAGES = [
  "digitalSignature",
  "nonRepudiation",
  "keyEncipherment",
  "dataEncipherment",
  "keyAgreement",
  "keyCertSign",
  "cRLSign",
  "encipherOnly",
  "decipherOnly",
] as const;
export type KeyUsage = (typeof KEY_USAGES)[number];

/** AlgorithmIdentifier without parameters (RFC 5758 §3.2). */
export const ECDSA_WITH_SHA256: Der = sequence(oid(OID.ecdsaWithSha256));
/** An RDNSequence of nothing: the subject of leaves and requests. */
export const EMPTY_NAME: Der = sequence();
/** Version 3, explicitly tagged as certificates want it. */
export const VERSION_3: Der = explicit(0, unsignedInteger(Uint8Array.of(2)));
/** Both uses of a mesh certificate: each proxy is server and client. */
export const BOTH_USES: Der = extension(
  OID.extendedKeyUsage,
  false,
  sequence(oid(OID.serverAuth), oid(OID.clientAuth)),
);
/** `cA=FALSE`, which DER leaves out: an empty SEQUENCE. */
export const NOT_A_CA: Der = extension(OID.basicConstraints, true, sequence());

export function extension(id: string, critical: boolean, value: Uint8Array): Der {
  const content = octetString(value);
  return critical ? sequence(oid(id), TRUE, content) : sequence(oid(id), content);
}

export function keyUsageExtension(usages: readonly KeyUsage[]): Der {
  return extension(OID.keyUsage, true, namedBits(usages.map((usage) => KEY_USAGES.indexOf(usage))));
}

/** `cA=TRUE`, with a path length if one is given. */
export function caExtension(pathLength: number | undefined): Der {
  const length = pathLength === undefined ? [] : [unsignedInteger(Uint8Array.of(pathLength))];
  return extension(OID.basicConstraints, true, sequence(TRUE, ...length));
}

/** Alternative names: URIs and DNS names in ASCII, addresses of 4 or 16 bytes. */
export interface AltNames {
  readonly uris: readonly string[];
  readonly dns?: readonly string[];
  readonly ips?: readonly Uint8Array[];
}

/** Critical where the subject is empty (RFC 5280 §4.1.2.6). */
export function altNamesExtension(names: AltNames, critical: boolean): Der {
  const list = [
    ...(names.dns ?? []).map((name) => implicit(2, Buffer.from(name, "latin1"))),
    ...names.uris.map((uri) => implicit(6, Buffer.from(uri, "latin1"))),
    ...(names.ips ?? []).map((ip) => implicit(7, ip)),
  ];
  return extension(OID.subjectAltName, critical, sequence(...list));
}

export function subjectKeyIdExtension(keyId: Uint8Array): Der {
  return extension(OID.subjectKeyIdentifier, false, octetString(keyId));
}

export function authorityKeyIdExtension(keyId: Uint8Array): Der {
  return extension(OID.authorityKeyIdentifier, false, sequence(implicit(0, keyId)));
}

/** `O=Tulle, CN=<commonName>`: the subject of a signing certificate. */
export function authorityName(commonName: string): Der {
  const attribute = (id: string, text: string): Der => setOf(sequence(oid(id), utf8String(text)));
  return sequence(attribute(OID.organizationName, "Tulle"), attribute(OID.commonName, commonName));
}

/** The extensions of a certificate, in their `[3]`. */
export function certificateExtensions(...extensions: readonly Der[]): Der {
  return explicit(3, sequence(...extensions));
}

/** A signed object: content, algorithm, signature (RFC 5280 §4.1.1, RFC 2986 §4.2). */
export function signed(content: Der, signature: Uint8Array): Der {
  return element(TAG.sequence, content, ECDSA_WITH_SHA256, bitString(signature));
}
