/** Lists and watches all pods in a process of its own, and prints how long it took and what it cost: memory is the point. */
import { readFileSync } from "node:fs";
import { KubeClient, Reflector } from "../../src/kube/index.ts";
import { MemoryStore } from "../../src/mesh/index.ts";
import { MemoryLogger } from "../../src/testkit/memory-logger.ts";
import { PODS, systemClock, systemRandom } from "./clients.ts";

const [folder = "", port = "", pageSize = ""] = process.argv.slice(2);
const read = (name: string) => readFileSync(`${folder}/${name}`, "utf8");
const client = new KubeClient({
  connection: {
    server: `https://127.0.0.1:${port}`,
    namespace: "default",
    proxy: false,
    credentials: async () => ({
      headers: {},
      tls: { ca: read("ca.crt"), cert: read("admin.crt"), key: read("admin.key") },
    }),
    refresh() {},
    library: () => Promise.reject(new Error("not needed here")),
  },
  clock: systemClock,
  agent: "tulle/kube-check",
});
const megabytes = () => Math.round(process.memoryUsage.rss() / 1_048_576);
const cpu = () => Math.round((process.cpuUsage().user + process.cpuUsage().system) / 1000);

await client.raw("/version");
const before = megabytes();
if (pageSize === "none") {
  process.stdout.write(`a client that lists nothing: RSS ${before} MB\n`);
} else {
  const store = new MemoryStore<object>();
  const began = performance.now();
  const used = cpu();
  const reflector = new Reflector({
    client,
    resource: PODS,
    pageSize: Number(pageSize),
    sink: store,
    clock: systemClock,
    random: systemRandom,
    logger: new MemoryLogger(),
    keep: ({ metadata, spec, status }) => ({
      uid: metadata.uid,
      namespace: metadata.namespace,
      name: metadata.name,
      labels: metadata.labels,
      node: spec.nodeName,
      ip: status?.podIP,
    }),
  });
  await reflector.synced;
  const took = performance.now() - began;
  const peak = megabytes();
  const spent = cpu() - used;
  Bun.gc(true);
  await Bun.sleep(200);
  process.stdout.write(
    `${reflector.counts.objects} pods listed in ${Math.round(took)} ms, ${spent} ms CPU (pages of ${pageSize}): RSS ${before} MB before, ${peak} MB after the list, ${megabytes()} MB later\n`,
  );
  reflector[Symbol.dispose]();
  await reflector.ended;
}
client[Symbol.dispose]();
