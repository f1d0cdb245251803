import { expect, test } from "bun:test";
import fc from "fast-check";
import { ByteQueue } from "./byte-queue.ts";

test("what is pushed comes out, in order, however it is cut", () => {
  const step = fc.oneof(
    fc.record({ push: fc.integer({ min: 0, max: 3_000 }) }),
    fc.record({ push: fc.integer({ min: 1, max: 40 }) }),
    fc.record({ drop: fc.double({ min: 0, max: 1, noNaN: true }) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const queue = new ByteQueue();
      const sent: number[] = [];
      const got: number[] = [];
      const take = (part: number) => {
        const first = queue.peek();
        if (first === undefined) return;
        const count = Math.ceil(first.length * part);
        got.push(...first.subarray(0, count));
        queue.drop(count);
      };
      for (const one of steps) {
        if ("drop" in one) take(one.drop);
        else {
          const chunk = Uint8Array.from({ length: one.push }, (_, i) => sent.length + i);
          sent.push(...chunk);
          queue.push(chunk);
        }
        expect(queue.size).toBe(sent.length - got.length);
      }
      while (queue.size > 0) take(1);
      expect(queue.peek()).toBeUndefined();
      expect(got).toEqual(sent);
    }),
  );
});

test("single bytes are held together, so that each costs little more than itself", () => {
  const queue = new ByteQueue();
  for (let i = 0; i < 100_000; i++) queue.push(Uint8Array.of(i));
  let blocks = 0;
  for (let chunk = queue.peek(); chunk !== undefined; chunk = queue.peek()) {
    expect(chunk.buffer.byteLength).toBeLessThanOrEqual(16 * 1024);
    queue.drop(chunk.length);
    blocks++;
  }
  expect(blocks).toBeLessThan(10);
});

test("what the caller gave is not written to", () => {
  const queue = new ByteQueue();
  const memory = new Uint8Array(8);
  queue.push(memory.subarray(0, 4));
  queue.push(Uint8Array.of(1, 2, 3));
  expect([...memory]).toEqual([0, 0, 0, 0, 0, 0, 0, 0]);
});
