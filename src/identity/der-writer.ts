/** Writes DER (X.690 §8, §10): each function gives one complete element, lengths minimal by construction. */
import { contextTag, type Der, TAG } from "./der.ts";

/** One element with the joined parts as its content; one allocation. */
export function element(tag: number, ...parts: readonly Uint8Array[]): Der {
  let length = 0;
  for (const part of parts) length += part.length;
  const lengthBytes = length < 0x80 ? 0 : length < 0x100 ? 1 : length < 0x10000 ? 2 : 3;
  if (length >= 0x1000000) throw new RangeError("a DER element of 16 MiB or more is never meant");
  const out = new Uint8Array(2 + lengthBytes + length);
  out[0] = tag;
  let at = 1;
  if (lengthBytes === 0) {
    out[at++] = length;
  } else {
    out[at++] = 0x80 | lengthBytes;
    for (let shift = (lengthBytes - 1) * 8; shift >= 0; shift -= 8) out[at++] = (length >> shift) & 0xff;
  }
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out as Der;
}

export function sequence(...parts: readonly Uint8Array[]): Der {
  return element(TAG.sequence, ...parts);
}

/** SET OF: sorts its elements as §11.6 demands. */
export function setOf(...parts: readonly Uint8Array[]): Der {
  return element(TAG.set, ...[...parts].sort(Buffer.compare));
}

export function octetString(...parts: readonly Uint8Array[]): Der {
  return element(TAG.octetString, ...parts);
}

/** BIT STRING of whole bytes. */
export function bitString(bytes: Uint8Array): Der {
  return element(TAG.bitString, Uint8Array.of(0), bytes);
}

/** Named bits of the first octet(s) (§11.2.2: trailing zero bits are left out); `bits` counts from 0. */
export function namedBits(bits: readonly number[]): Der {
  if (bits.length === 0) return element(TAG.bitString, Uint8Array.of(0));
  const highest = Math.max(...bits);
  const bytes = new Uint8Array((highest >> 3) + 1);
  for (const bit of bits) bytes[bit >> 3] = (bytes[bit >> 3] as number) | (0x80 >> (bit & 7));
  return element(TAG.bitString, Uint8Array.of(7 - (highest & 7)), bytes);
}

/** Non-negative INTEGER from its big-endian magnitude. */
export function unsignedInteger(magnitude: Uint8Array): Der {
  let start = 0;
  while (start < magnitude.length - 1 && magnitude[start] === 0) start++;
  const significant = magnitude.length === 0 ? Uint8Array.of(0) : magnitude.subarray(start);
  return (significant[0] as number) & 0x80
    ? element(TAG.integer, Uint8Array.of(0), significant)
    : element(TAG.integer, significant);
}

/** BOOLEAN TRUE; DER leaves a DEFAULT FALSE out, so FALSE is never written. */
export const TRUE: Der = element(TAG.boolean, Uint8Array.of(0xff));

export function utf8String(text: string): Der {
  return element(TAG.utf8String, new TextEncoder().encode(text));
}

/** OBJECT IDENTIFIER from its dotted text, which is a constant of ours. */
export function oid(dotted: string): Der {
  const arcs = dotted.split(".").map(Number);
  const [first = 0, second = 0, ...rest] = arcs;
  const out: number[] = [];
  for (const arc of [first * 40 + second, ...rest]) {
    const septets = [arc & 0x7f];
    for (let left = Math.floor(arc / 128); left > 0; left = Math.floor(left / 128))
      septets.unshift((left & 0x7f) | 0x80);
    out.push(...septets);
  }
  return element(TAG.oid, Uint8Array.from(out));
}

/** `[number] EXPLICIT`: constructed, holds whole elements. */
export function explicit(number: number, ...parts: readonly Uint8Array[]): Der {
  return element(contextTag(number, true), ...parts);
}

/** `[number] IMPLICIT` of a primitive type: holds its content. */
export function implicit(number: number, content: Uint8Array): Der {
  return element(contextTag(number, false), content);
}
