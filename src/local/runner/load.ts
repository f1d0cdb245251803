/** The inner runner, loaded when it is to run: `tulle get` and its like need no operator and no gRPC. */
import type { InnerOptions } from "./inner.ts";

export async function runInner(options: InnerOptions): Promise<number> {
  const inner = await import("./inner.ts");
  return inner.runInner(options);
}
