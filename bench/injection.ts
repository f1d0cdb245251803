/**
 * The operator's admission webhook alone: 50 reviews at a time over TLS, as an API server keeps its connections, then pods of
 * 300 KB one by one. The last line is one line of JSON. `make bench-injection`.
 *
 * The server is a process of its own. The callers share one, so their own work is part of what is measured: `serviceMs` is what
 * the server spends on a review, from its processor time.
 */
import { cpus, loadavg } from "node:os";
import { jsonLogger } from "../src/cli/log.ts";
import { systemClock, systemRandom } from "../src/cli/system.ts";
import { WebhookServer } from "../src/cluster/webhook/server.ts";
import { Authority, KeyPair, parseSpiffeId, parseTrustDomain, pemEncode } from "../src/identity/index.ts";
import type { Millis } from "../src/mesh/index.ts";

const CONCURRENT = 50;
const REVIEWS = 20_000;
const LARGE_BYTES = 300_000;
const LARGE_REVIEWS = 30;
const HOUR: Millis = 3_600_000;
const HOST = "tulle-operator.tulle-system.svc";

/** Prints its port, and its processor time on each line that it reads. */
function serve(): void {
  const trustDomain = parseTrustDomain("cluster.local");
  const authority = Authority.create({ clock: systemClock, random: systemRandom, trustDomain, leafLifetime: HOUR });
  const key = KeyPair.generate();
  const id = parseSpiffeId("spiffe://cluster.local/ns/tulle-system/sa/tulle-operator");
  const { chain } = authority.issueServer({ spki: key.spki, id, dnsNames: [HOST], ips: [] });
  const cert = chain.map((der) => pemEncode("CERTIFICATE", der)).join("");
  const server = new WebhookServer({
    hosts: ["127.0.0.1"],
    port: 0,
    material: () => ({ cert, key: key.privateKeyPem() }),
    context: {
      config: {
        image: "tulle:bench",
        version: "bench",
        trustDomain: "cluster.local",
        operatorAddress: `${HOST}:15012`,
      },
      ownNamespace: "tulle-system",
      namespaceLabels: () => ({ "tulle.dev/inject": "enabled" }),
    },
    clock: systemClock,
    logger: jsonLogger("warn", systemClock),
  });
  process.stdout.write(`${JSON.stringify({ port: server.port, roots: authority.bundle().pem() })}\n`);
  process.stdin.on("data", () => process.stdout.write(`${JSON.stringify(process.cpuUsage())}\n`));
  process.stdin.on("end", () => process.exit(0));
}

function review(object: object, uid: number): string {
  const request = { uid: `u-${uid}`, namespace: "shop", operation: "CREATE", object };
  return JSON.stringify({ apiVersion: "admission.k8s.io/v1", kind: "AdmissionReview", request });
}

/** As a controller makes it; with that many bytes of environment. */
function pod(name: string, filler = 0): object {
  const probe = { httpGet: { path: "/healthz", port: 8080 }, periodSeconds: 5 };
  const env = Array.from({ length: Math.ceil(filler / 1_000) }, (_, index) => ({
    name: `VARIABLE_${index}`,
    value: "x".repeat(970),
  }));
  const container = {
    name: "app",
    image: "registry.example/app:1",
    ports: [{ name: "http", containerPort: 8080 }],
    env,
    livenessProbe: probe,
    readinessProbe: probe,
    resources: { requests: { cpu: "100m", memory: "128Mi" } },
    volumeMounts: [{ name: "token", mountPath: "/var/run/secrets/kubernetes.io/serviceaccount", readOnly: true }],
  };
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { generateName: `${name}-`, namespace: "shop", labels: { app: name, "pod-template-hash": "5d9c7" } },
    spec: { containers: [container], volumes: [{ name: "token", emptyDir: {} }], serviceAccountName: "default" },
  };
}

async function measure(): Promise<void> {
  await using server = await Bench.start();
  await server.run(CONCURRENT, 5_000, (uid) => review(pod("warm"), uid));
  const small = await server.run(CONCURRENT, REVIEWS, (uid) => review(pod("shop"), uid));
  const large = await server.run(1, LARGE_REVIEWS, (uid) => review(pod("large", LARGE_BYTES), uid));
  process.stdout.write(
    `${JSON.stringify({
      benchmark: "injection",
      concurrent: CONCURRENT,
      reviews: REVIEWS,
      perSecond: Math.round(small.perSecond),
      p50Ms: small.at(0.5),
      p99Ms: small.at(0.99),
      serviceMs: small.serviceMs,
      largeBytes: LARGE_BYTES,
      largeP50Ms: large.at(0.5),
      largeMaxMs: large.at(1),
      // Of the machine over the last minute, this benchmark included: above its cores, the tail is others' doing.
      load: Math.round((loadavg()[0] ?? 0) * 10) / 10,
      cores: cpus().length,
    })}\n`,
  );
}

interface Result {
  readonly perSecond: number;
  /** Processor time of the server for one review. */
  readonly serviceMs: number;
  /** Milliseconds below which that share of the reviews was answered. */
  at(share: number): number;
}

class Bench implements AsyncDisposable {
  readonly #child: Bun.Subprocess<"pipe", "pipe", "inherit">;
  readonly #lines: AsyncGenerator<string>;
  #port = 0;
  #roots = "";

  private constructor() {
    this.#child = Bun.spawn([process.execPath, import.meta.path, "serve"], {
      stdin: "pipe",
      stdout: "pipe",
      stderr: "inherit",
    });
    this.#lines = linesOf(this.#child.stdout);
  }

  static async start(): Promise<Bench> {
    const bench = new Bench();
    const { port, roots } = JSON.parse(await bench.#line()) as { port: number; roots: string };
    bench.#port = port;
    bench.#roots = roots;
    return bench;
  }

  async run(concurrent: number, count: number, body: (uid: number) => string): Promise<Result> {
    const requests = Array.from({ length: count }, (_, uid) => {
      const text = body(uid);
      const head = `POST /inject?timeout=10s HTTP/1.1\r\nhost: ${HOST}\r\ncontent-type: application/json\r\n`;
      return Buffer.from(`${head}content-length: ${Buffer.byteLength(text)}\r\n\r\n${text}`);
    });
    const callers = await Promise.all(
      Array.from({ length: concurrent }, () => Caller.connect(this.#port, this.#roots)),
    );
    // An API server keeps its connections: their handshakes are none of what is measured.
    await Promise.all(callers.map((caller) => caller.post(requests[0] ?? Buffer.alloc(0))));
    const times: number[] = [];
    const before = await this.#processorMicros();
    const began = performance.now();
    const work = async (caller: Caller): Promise<void> => {
      for (let bytes = requests.pop(); bytes !== undefined; bytes = requests.pop()) {
        const sent = performance.now();
        await caller.post(bytes);
        times.push(performance.now() - sent);
      }
    };
    await Promise.all(callers.map(work));
    const seconds = (performance.now() - began) / 1_000;
    const micros = (await this.#processorMicros()) - before;
    for (const caller of callers) caller.close();
    times.sort((a, b) => a - b);
    const rounded = (value: number) => Math.round(value * 100) / 100;
    return {
      perSecond: count / seconds,
      serviceMs: rounded(micros / 1_000 / count),
      at: (share) => rounded(times[Math.min(times.length - 1, Math.floor(share * times.length))] ?? Number.NaN),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.stdin.end();
    await this.#child.exited;
  }

  async #processorMicros(): Promise<number> {
    this.#child.stdin.write("\n");
    this.#child.stdin.flush();
    const { user, system } = JSON.parse(await this.#line()) as { user: number; system: number };
    return user + system;
  }

  async #line(): Promise<string> {
    const { value, done } = await this.#lines.next();
    if (done === true) throw new Error("the server ended");
    return value;
  }
}

/** One connection that is kept, with one review at a time; bytes alone, so that it costs little beside the server. */
class Caller {
  #socket: Bun.Socket | undefined;
  #unsent: Uint8Array = new Uint8Array();
  #answer = "";
  #done: (() => void) | undefined;
  #failed: ((reason: Error) => void) | undefined;

  static async connect(port: number, ca: string): Promise<Caller> {
    const caller = new Caller();
    caller.#socket = await Bun.connect({
      hostname: "127.0.0.1",
      port,
      tls: { ca, serverName: HOST },
      socket: {
        data: (_socket, chunk) => caller.#take(chunk),
        drain: () => caller.#send(),
        close: () => caller.#failed?.(new Error("the server closed the connection")),
        error: (_socket, error) => caller.#failed?.(error),
      },
    });
    return caller;
  }

  post(bytes: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#done = resolve;
      this.#failed = reject;
      this.#unsent = bytes;
      this.#send();
    });
  }

  close(): void {
    this.#failed = undefined;
    this.#socket?.end();
  }

  #send(): void {
    if (this.#unsent.length === 0) return;
    const taken = this.#socket?.write(this.#unsent) ?? 0;
    this.#unsent = this.#unsent.subarray(taken);
  }

  #take(chunk: Buffer): void {
    this.#answer += chunk.toString("latin1");
    const head = this.#answer.indexOf("\r\n\r\n");
    if (head < 0) return;
    const length = Number(/content-length: (\d+)/i.exec(this.#answer)?.[1]);
    if (this.#answer.length < head + 4 + length) return;
    const answer = this.#answer;
    this.#answer = "";
    if (answer.startsWith("HTTP/1.1 200") && answer.includes('"patch"')) this.#done?.();
    else this.#failed?.(new Error(`not injected: ${answer.slice(0, 300)}`));
  }
}

async function* linesOf(stream: ReadableStream<Uint8Array<ArrayBuffer>>): AsyncGenerator<string> {
  let text = "";
  for await (const chunk of stream.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n")) {
      yield text.slice(0, end);
      text = text.slice(end + 1);
    }
  }
}

if (process.argv[2] === "serve") serve();
else await measure();
