/** The extensions of certificates and requests, read into values (RFC 5280 §4.2). */
import { formatIp, type Ip } from "../mesh/index.ts";
import { contextTag, TAG, toHex } from "./der.ts";
import { badDer, DerReader } from "./der-reader.ts";
import { OID } from "./oids.ts";
import { KEY_USAGES, type KeyUsage } from "./profile.ts";

/** What a list of extensions says; an absent one has its neutral value. */
export interface ExtensionValues {
  uriSans: readonly string[];
  dnsSans: readonly string[];
  ipSans: readonly Ip[];
  otherSans: number;
  sanCritical: boolean;
  isCa: boolean;
  pathLength: number | undefined;
  keyUsage: readonly KeyUsage[] | undefined;
  keyUsageCritical: boolean;
  extendedKeyUsages: readonly string[] | undefined;
  subjectKeyId: string | undefined;
  authorityKeyId: string | undefined;
  unknownCritical: readonly string[];
  /** Dotted identifiers in their order. */
  seen: readonly string[];
}

const MAX_EXTENSIONS = 32;
const MAX_NAMES = 64;

/**
 * Alternative names that we do not read: otherName, rfc822Name, x400Address, directoryName, ediPartyName, registeredID
 * (RFC 5280 §4.2.1.6).
 */
const OTHER_NAMES: ReadonlySet<number> = new Set([
  contextTag(0, true),
  contextTag(1, false),
  contextTag(3, true),
  contextTag(4, true),
  contextTag(5, true),
  contextTag(8, false),
]);

/** A list of extensions in which one stands twice (RFC 5280 §4.2); the reader of requests has its own code for it. */
export class RepeatedExtension extends Error {}

/** Reads a list; throws `bad-der`, or RepeatedExtension. */
export function readExtensions(list: DerReader | undefined): ExtensionValues {
  const values: ExtensionValues = {
    uriSans: [],
    dnsSans: [],
    ipSans: [],
    otherSans: 0,
    sanCritical: false,
    isCa: false,
    pathLength: undefined,
    keyUsage: undefined,
    keyUsageCritical: false,
    extendedKeyUsages: undefined,
    subjectKeyId: undefined,
    authorityKeyId: undefined,
    unknownCritical: [],
    seen: [],
  };
  const seen: string[] = [];
  while (list !== undefined && !list.done) {
    const one = list.enter(TAG.sequence);
    const id = one.oid();
    if (seen.includes(id)) throw new RepeatedExtension(id);
    if (seen.push(id) > MAX_EXTENSIONS) throw badDer(`more than ${MAX_EXTENSIONS} extensions`);
    const critical = one.trueOrAbsent();
    const value = new DerReader(one.content(TAG.octetString));
    one.finish();
    if (readOne(id, critical, value, values)) value.finish();
    else if (critical) values.unknownCritical = [...values.unknownCritical, id];
  }
  values.seen = seen;
  return values;
}

/** Reads an extension that we know; false for any other. */
function readOne(id: string, critical: boolean, value: DerReader, into: ExtensionValues): boolean {
  switch (id) {
    case OID.subjectAltName:
      into.sanCritical = critical;
      readAltNames(value.enter(TAG.sequence), into);
      return true;
    case OID.basicConstraints: {
      const constraints = value.enter(TAG.sequence);
      into.isCa = constraints.trueOrAbsent();
      if (!constraints.done) into.pathLength = constraints.smallInteger();
      constraints.finish();
      return true;
    }
    case OID.keyUsage: {
      into.keyUsageCritical = critical;
      into.keyUsage = value.namedBits().map(usageOfBit);
      return true;
    }
    case OID.extendedKeyUsage: {
      const usages = value.enter(TAG.sequence);
      const list: string[] = [];
      while (!usages.done) if (list.push(usages.oid()) > MAX_NAMES) throw badDer("too many extended key usages");
      into.extendedKeyUsages = list;
      return true;
    }
    case OID.subjectKeyIdentifier:
      into.subjectKeyId = toHex(value.content(TAG.octetString));
      return true;
    case OID.authorityKeyIdentifier: {
      const identifier = value.enter(TAG.sequence);
      if (identifier.peek() === contextTag(0, false))
        into.authorityKeyId = toHex(identifier.content(contextTag(0, false)));
      return true;
    }
    default:
      return false;
  }
}

function usageOfBit(bit: number): KeyUsage {
  const usage = KEY_USAGES[bit];
  if (usage === undefined) throw badDer("a keyUsage bit that has no name");
  return usage;
}

function readAltNames(names: DerReader, into: ExtensionValues): void {
  const uris: string[] = [];
  const dns: string[] = [];
  const ips: Ip[] = [];
  let other = 0;
  for (let count = 1; !names.done; count++) {
    if (count > MAX_NAMES) throw badDer(`more than ${MAX_NAMES} alternative names`);
    const tag = names.peek();
    if (tag === contextTag(6, false)) uris.push(ia5(names.content(tag)));
    else if (tag === contextTag(2, false)) dns.push(ia5(names.content(tag)));
    else if (tag === contextTag(7, false)) ips.push(address(names.content(tag)));
    else if (tag !== undefined && OTHER_NAMES.has(tag)) {
      names.whole();
      other++;
    } else throw badDer("an alternative name of a kind that there is not");
  }
  into.uriSans = uris;
  into.dnsSans = dns;
  into.ipSans = ips;
  into.otherSans = other;
}

function address(bytes: Uint8Array): Ip {
  if (bytes.length !== 4 && bytes.length !== 16) throw badDer("an iPAddress of neither 4 nor 16 bytes");
  return formatIp(bytes);
}

/** IA5String content; a NUL inside has fooled others, so control characters are refused too. */
function ia5(bytes: Uint8Array): string {
  for (const byte of bytes)
    if (byte < 0x20 || byte > 0x7e) throw badDer("an alternative name that is not printable ASCII");
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
}
