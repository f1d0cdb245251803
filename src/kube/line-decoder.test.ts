import { expect, test } from "bun:test";
import fc from "fast-check";
import { LineDecoder } from "./line-decoder.ts";

function decode(chunks: readonly Uint8Array[], longest?: number): { lines: string[]; held: number } {
  const decoder = new LineDecoder(longest);
  const lines: string[] = [];
  for (const chunk of chunks) {
    decoder.push(chunk, (line) => lines.push(line));
    // A transport may write the next bytes into the same memory.
    chunk.fill(0x78);
  }
  return { lines, held: decoder.held };
}

test("gives the same lines however the bytes are cut, characters of several bytes included", () => {
  fc.assert(
    fc.property(
      fc.array(fc.string({ unit: "grapheme" }).map((text) => JSON.stringify(text))),
      fc.array(fc.nat(40), { minLength: 1 }),
      (lines, cuts) => {
        const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(""));
        const chunks: Uint8Array[] = [];
        for (let at = 0, i = 0; at < bytes.length; i += 1) {
          const size = (cuts[i % cuts.length] ?? 0) + (i % 2);
          chunks.push(Uint8Array.from(bytes.subarray(at, at + size)));
          at += size;
        }
        expect(decode(chunks)).toEqual({ lines, held: 0 });
      },
    ),
  );
});

test("joins a line of 20 MB in chunks of 16 KB without copying it again and again", () => {
  const line = Buffer.alloc(20 * 1024 * 1024, 0x61);
  const chunks: Uint8Array[] = [];
  for (let at = 0; at < line.length; at += 16_384) chunks.push(line.subarray(at, at + 16_384));
  const decoder = new LineDecoder();
  const lengths: number[] = [];
  const started = performance.now();
  for (const chunk of [...chunks, Uint8Array.of(0x0a)]) decoder.push(chunk, (text) => lengths.push(text.length));
  expect(lengths).toEqual([line.length]);
  expect(performance.now() - started).toBeLessThan(2000);
});

test("passes over empty lines, and tells how much of a line it holds", () => {
  const { lines, held } = decode([Buffer.from('\n\r\n{"a":1}\r\n\n{"b"')]);
  expect(lines.map((line) => line.trim())).toEqual(['{"a":1}']);
  expect(held).toBe(4);
});

test("refuses a line that does not end, before it fills the memory", () => {
  expect(() => decode([Buffer.alloc(600), Buffer.alloc(600)], 1000)).toThrow("longer than 1000 bytes");
});
