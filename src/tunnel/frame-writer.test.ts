import { expect, test } from "bun:test";
import { FrameWriter } from "./frame-writer.ts";

/** Takes of each write as many bytes as the next number says; all when none is left. */
function transportThatTakes(...counts: number[]) {
  const out: number[] = [];
  return {
    out,
    write(bytes: Uint8Array): number {
      const taken = Math.min(bytes.length, counts.shift() ?? bytes.length);
      out.push(...bytes.subarray(0, taken));
      return taken;
    },
    close: () => undefined,
    destroy: () => undefined,
    pauseReading: () => undefined,
    resumeReading: () => undefined,
  };
}

const SMALL = [0, 0, 2, 0, 0, 0, 0, 0, 1, 7, 8];
const LARGE = [0, 0, 4, 0, 0, 0, 0, 0, 3, 2, 3, 4, 5];
const PING = [0, 0, 8, 6, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2];

test.each([
  ["whole", []],
  ["with its header cut", [11, 4]],
  ["with its payload cut", [11, 9, 1]],
  ["with both cut, again and again", [11, 2, 3, 5, 1]],
])("a large chunk leaves between what was written before and after it: %s", (_how, counts) => {
  const transport = transportThatTakes(...counts);
  const writer = new FrameWriter(transport);
  writer.data(1, Uint8Array.of(7, 8), 0, 2, 100);
  expect(writer.largeData(3, Uint8Array.of(1, 2, 3, 4, 5, 6), 1, 4)).toBe(true);
  writer.ping(1, 2, false);
  while (writer.pending > 0) {
    writer.unblock();
    writer.flush();
  }
  expect(transport.out).toEqual([...SMALL, ...LARGE, ...PING]);
});

test("a large chunk is not begun while something waits before it, and counts as waiting until it has left", () => {
  const transport = transportThatTakes(3, 8, 9, 0);
  const writer = new FrameWriter(transport);
  writer.data(1, Uint8Array.of(7, 8), 0, 2, 100);
  const chunk = Uint8Array.of(2, 3, 4, 5);
  expect(writer.largeData(3, chunk, 0, 4)).toBe(false);
  expect(writer.pending).toBe(8);
  writer.unblock();
  expect(writer.largeData(3, chunk, 0, 4)).toBe(true);
  expect(writer.pending).toBe(4);
  writer.discard();
  expect(writer.pending).toBe(0);
});
