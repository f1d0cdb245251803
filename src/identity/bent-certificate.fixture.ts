/** Bad and odd certificates for tests: every field can be bent, which the authority never does. */
import { writeTime } from "./asn1-time.ts";
import type { Der } from "./der.ts";
import { sequence, unsignedInteger } from "./der-writer.ts";
import { KeyPair } from "./key-pair.ts";
import {
  altNamesExtension,
  authorityKeyIdExtension,
  authorityName,
  BOTH_USES,
  caExtension,
  certificateExtensions,
  ECDSA_WITH_SHA256,
  EMPTY_NAME,
  type KeyUsage,
  keyUsageExtension,
  NOT_A_CA,
  signed,
  subjectKeyIdExtension,
  VERSION_3,
} from "./profile.ts";
import { keyIdOf } from "./public-key.ts";

export interface Bend {
  readonly uris?: readonly string[];
  readonly dns?: readonly string[];
  readonly ca?: boolean;
  readonly pathLength?: number;
  readonly usage?: readonly KeyUsage[];
  readonly extended?: "both" | "none" | Der;
  readonly notBefore?: number;
  readonly notAfter?: number;
  readonly extra?: readonly Der[];
  readonly subject?: Der;
  /** A new one by default. */
  readonly key?: KeyPair;
}

export interface Made {
  readonly key: KeyPair;
  readonly der: Der;
  readonly subject: Der;
}

let serial = 0x1000;

/** A certificate signed by `issuer`, or by itself. */
export function makeCertificate(bend: Bend, issuer?: Made): Made {
  const key = bend.key ?? KeyPair.generate();
  const now = Math.floor((bend.notBefore ?? Date.now() - 120_000) / 1000) * 1000;
  const subject = bend.subject ?? (bend.ca === true ? authorityName(`test ${serial}`) : EMPTY_NAME);
  serial += 1;
  const extensions = [
    bend.ca === true ? caExtension(bend.pathLength) : NOT_A_CA,
    keyUsageExtension(bend.usage ?? (bend.ca === true ? ["keyCertSign", "cRLSign"] : ["digitalSignature"])),
    ...(bend.ca === true || bend.extended === "none"
      ? []
      : [bend.extended === undefined || bend.extended === "both" ? BOTH_USES : bend.extended]),
    ...((bend.uris ?? []).length + (bend.dns ?? []).length === 0
      ? []
      : [altNamesExtension({ uris: bend.uris ?? [], dns: bend.dns ?? [] }, subject === EMPTY_NAME)]),
    subjectKeyIdExtension(keyIdOf(key.spki)),
    authorityKeyIdExtension(keyIdOf((issuer?.key ?? key).spki)),
    ...(bend.extra ?? []),
  ];
  const tbs = sequence(
    VERSION_3,
    unsignedInteger(Uint8Array.of(1, serial >> 16, serial >> 8, serial, 0, 0, 0, 0, 9)),
    ECDSA_WITH_SHA256,
    issuer?.subject ?? subject,
    sequence(writeTime(now), writeTime(Math.floor((bend.notAfter ?? now + 86_400_000) / 1000) * 1000)),
    subject,
    key.spki,
    certificateExtensions(...extensions),
  );
  return { key, subject, der: signed(tbs, (issuer?.key ?? key).sign(tbs)) };
}
