/** No proxy: what generator, kernel and application can do. */
import type { Pair } from "./pair.ts";

export const direct: Pair = {
  name: "direct",
  about: "no proxy",
  start: async () => undefined,
};
