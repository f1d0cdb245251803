/** The Huffman code of HPACK (RFC 7541 §5.2, appendix B). */
import { ERROR_CODES, Http2Error } from "./errors.ts";

/**
 * Code length in bits of each octet, then of EOS (256). The code of appendix B is canonical (codes of one length follow
 * each other in the order of the symbols), so the lengths say all of it.
 */
// biome-ignore format: a table of 16 columns
const CODE_LENGTHS: readonly number[] = [
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
  28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
  6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
  5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
  13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
  7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
  15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
  6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
  20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
  24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
  22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
  21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
  26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
  19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
  20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
  26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
  30,
];
const EOS = 256;
const LONGEST_CODE = 30;

const LENGTHS = Uint8Array.from(CODE_LENGTHS);
const CODES = canonicalCodes();

function canonicalCodes(): Uint32Array {
  const codes = new Uint32Array(CODE_LENGTHS.length);
  let code = 0;
  for (let length = 1; length <= LONGEST_CODE; length++) {
    for (let symbol = 0; symbol < CODE_LENGTHS.length; symbol++) {
      if (CODE_LENGTHS[symbol] === length) codes[symbol] = code++;
    }
    code *= 2;
  }
  return codes;
}

/**
 * The code tree read four bits at a time. The shortest code has five bits, so one step emits at most one symbol.
 * An entry of `STEPS[state * 16 + nibble]` is the next state, with the bits below.
 */
const EMITS = 0x1_0000;
/** The nibble ran into EOS: a decoding error (RFC 7541 §5.2). */
const FAILS = 0x2_0000;
const STATE_MASK = 0xffff;

const { steps: STEPS, symbols: SYMBOLS, mayEnd: MAY_END } = buildAutomaton();

function buildAutomaton(): { steps: Uint32Array; symbols: Uint8Array; mayEnd: Uint8Array } {
  // Inner nodes of the tree; a child ≥ 0 is a node, < 0 a leaf holding symbol -child-1.
  const left: number[] = [0];
  const right: number[] = [0];
  for (let symbol = 0; symbol <= EOS; symbol++) {
    const length = LENGTHS[symbol] as number;
    const code = CODES[symbol] as number;
    let node = 0;
    for (let bit = length - 1; bit >= 0; bit--) {
      const side = (code >>> bit) & 1 ? right : left;
      if (bit === 0) {
        side[node] = -symbol - 1;
      } else if (side[node] === 0) {
        side[node] = left.length;
        left.push(0);
        right.push(0);
        node = left.length - 1;
      } else {
        node = side[node] as number;
      }
    }
  }
  const steps = new Uint32Array(left.length * 16);
  const symbols = new Uint8Array(left.length * 16);
  for (let state = 0; state < left.length; state++) {
    for (let nibble = 0; nibble < 16; nibble++) {
      let node = state;
      let flags = 0;
      for (let bit = 3; bit >= 0; bit--) {
        const child = ((nibble >>> bit) & 1 ? right[node] : left[node]) as number;
        if (child >= 0) {
          node = child;
        } else if (-child - 1 === EOS) {
          flags |= FAILS;
          break;
        } else {
          symbols[state * 16 + nibble] = -child - 1;
          flags |= EMITS;
          node = 0;
        }
      }
      steps[state * 16 + nibble] = node | flags;
    }
  }
  // Padding is the most significant bits of EOS (all ones), shorter than 8 bits (RFC 7541 §5.2).
  const mayEnd = new Uint8Array(left.length);
  let node = 0;
  for (let depth = 0; depth < 8; depth++) {
    mayEnd[node] = 1;
    node = right[node] as number;
  }
  return { steps, symbols, mayEnd };
}

/** Bytes that `text` takes in Huffman code; -1 when a character is not an octet (0–255). */
export function huffmanLength(text: string): number {
  let bits = 0;
  for (let i = 0; i < text.length; i++) {
    const octet = text.charCodeAt(i);
    if (octet > 255) return -1;
    bits += LENGTHS[octet] as number;
  }
  return (bits + 7) >>> 3;
}

/** Writes `text` at `at`, where `huffmanLength(text)` bytes must be free; returns the position after it. */
export function huffmanEncode(text: string, into: Uint8Array, at: number): number {
  let pending = 0; // the byte being filled: a code of 30 bits is cut at each byte's end, so that 32 bits suffice
  let bits = 0;
  let position = at;
  for (let i = 0; i < text.length; i++) {
    const symbol = text.charCodeAt(i);
    const code = CODES[symbol] as number;
    let left = LENGTHS[symbol] as number;
    while (left > 0) {
      const take = Math.min(left, 8 - bits);
      pending = (pending << take) | ((code >>> (left - take)) & ((1 << take) - 1));
      bits += take;
      left -= take;
      if (bits === 8) {
        into[position++] = pending;
        pending = 0;
        bits = 0;
      }
    }
  }
  if (bits > 0) into[position++] = (pending << (8 - bits)) | (0xff >>> bits);
  return position;
}

/**
 * Decodes `from[start, end)` into `into` from 0 on (it must hold 8/5 of the bytes); returns how many octets came out.
 * Throws a connection error COMPRESSION_ERROR on EOS, and on padding that is too long or not all ones (RFC 7541 §5.2).
 */
export function huffmanDecode(from: Uint8Array, start: number, end: number, into: Uint8Array): number {
  let state = 0;
  let length = 0;
  for (let i = start; i < end; i++) {
    const byte = from[i] as number;
    let index = state * 16 + (byte >>> 4);
    let step = STEPS[index] as number;
    if ((step & EMITS) !== 0) into[length++] = SYMBOLS[index] as number;
    index = (step & STATE_MASK) * 16 + (byte & 15);
    if ((step & FAILS) !== 0) throw invalid("holds the EOS symbol");
    step = STEPS[index] as number;
    if ((step & EMITS) !== 0) into[length++] = SYMBOLS[index] as number;
    if ((step & FAILS) !== 0) throw invalid("holds the EOS symbol");
    state = step & STATE_MASK;
  }
  if (MAY_END[state] !== 1) throw invalid("is padded by more than 7 bits or by bits other than ones");
  return length;
}

function invalid(why: string): Http2Error {
  return Http2Error.connection(ERROR_CODES.COMPRESSION_ERROR, `a Huffman-coded string ${why} (RFC 7541 §5.2)`);
}
