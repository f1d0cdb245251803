/** Waits until nobody else uses the machine. */
import { Meter } from "./usage.ts";

const WINDOW_MS = 1_000;

/** Resolves with whether others used fewer cores than `below` for a second, within `limitMs`. */
export async function quiet(below: number, limitMs: number): Promise<boolean> {
  const end = performance.now() + limitMs;
  do {
    const meter = new Meter([]);
    await Bun.sleep(WINDOW_MS);
    if (meter.stop().others < below) return true;
  } while (performance.now() < end);
  return false;
}
