/** Lets a test on a fake clock move time only while no request is on its way: else a slow machine fires deadlines. */
import type { KubeClient } from "../kube/index.ts";
import type { FakeApiServer } from "./fake-api-server.ts";

/** Counts the client's calls that have no answer yet; an open watch has had its answer. */
export function requestsInFlight(client: KubeClient): () => number {
  let count = 0;
  const { transport } = client;
  const counted =
    <A extends unknown[], R>(call: (...args: A) => Promise<R>) =>
    async (...args: A): Promise<R> => {
      count += 1;
      try {
        return await call(...args);
      } finally {
        count -= 1;
      }
    };
  transport.text = counted(transport.text.bind(transport));
  transport.stream = counted(transport.stream.bind(transport));
  return () => count;
}

/** Waits until every call but those that the server leaves hanging has its answer, and what waited for it has run. */
export async function settled(server: FakeApiServer, ...inFlight: readonly (() => number)[]): Promise<void> {
  const end = performance.now() + 5000;
  await Bun.sleep(1);
  while (inFlight.reduce((sum, count) => sum + count(), 0) > server.hanging && performance.now() < end)
    await Bun.sleep(1);
  await Bun.sleep(1);
}
