import { expect, test } from "bun:test";
import fc from "fast-check";
import { ReceiveWindow } from "./receive-window.ts";

test("announces half of the window at a time when all is passed on at once (RFC 9113 §6.9)", () => {
  const window = new ReceiveWindow(1 << 20);
  let sent = 0;
  let increments = 0;
  while (increments === 0) {
    expect(window.take(4096)).toBe(true);
    sent += 4096;
    increments = window.give(4096);
  }
  expect(sent).toBe(1 << 19);
  expect(increments).toBe(1 << 19);
});

test("announces even a little to a peer that has nothing left: slow streams must not stall quick ones (RFC 9113 §5.2.2)", () => {
  const window = new ReceiveWindow(1 << 20);
  window.take((1 << 20) - 100); // sat on by slow streams
  window.take(100);
  expect(window.give(100)).toBe(100);
  expect(window.give(0)).toBe(0);
});

test("the peer never has more than the window, never more than it was told, and never nothing while all is passed on", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 65_535, max: 300_000 }),
      fc.array(fc.tuple(fc.nat(20_000), fc.nat(20_000)), { maxLength: 200 }),
      (size, steps) => {
        const window = new ReceiveWindow(size);
        let left = size;
        let held = 0;
        for (const [arrives, passes] of steps) {
          const came = Math.min(arrives, left);
          expect(window.take(came)).toBe(true);
          left -= came;
          held += came;
          const passed = Math.min(passes, held);
          held -= passed;
          left += window.give(passed);
          expect(left + held).toBeLessThanOrEqual(size);
        }
        left += window.give(held);
        expect(left).toBeGreaterThan(0);
        expect(window.take(left)).toBe(true);
        expect(window.take(1)).toBe(false);
      },
    ),
  );
});
