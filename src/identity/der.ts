/** What DER reader and writer share: the branded type and the tags of X.690 that certificates use. */

declare const derBrand: unique symbol;
/** Bytes of one complete DER element. */
export type Der = Uint8Array & { readonly [derBrand]: true };

/** Identifier octets (X.690 §8.1.2): universal ones as certificates use them, constructed where they must be. */
export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  utf8String: 0x0c,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

/** Context-specific tag `[number]`, primitive or constructed; `number` 0–30. */
export function contextTag(number: number, constructed: boolean): number {
  return (constructed ? 0xa0 : 0x80) | number;
}

/** True when both hold the same bytes. For public data: it does not hide where they differ. */
export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** Lower-case hexadecimal. */
export function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("hex");
}

/** A plain view of a Buffer, so that no Buffer method (or its shared pool) leaks out of this room. */
export function plain(buffer: Uint8Array): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.length);
}
