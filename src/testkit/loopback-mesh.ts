/** A small mesh in one process: a fake operator, real proxies on loopback addresses, applications beside them. */
import { connect, createServer, type Server, type Socket } from "node:net";
import { systemClock, systemRandom } from "../cli/system.ts";
import { Authority, parseTrustDomain, type SpiffeId } from "../identity/index.ts";
import { type Clock, ENV, type Ip, type Millis, PORTS, type Workload } from "../mesh/index.ts";
import { readConfig } from "../proxy/config.ts";
import { Sidecar } from "../proxy/sidecar.ts";
import { endpointOf, service, workload } from "./addresses.ts";
import { FakeOperator } from "./fake-operator.ts";
import { FakeOriginalDestination, loopbackAddress, loopbackPod } from "./fake-original-destination.ts";
import { IdentityDirectory } from "./identity-directory.ts";
import { MemoryLogger } from "./memory-logger.ts";

export const TRUST_DOMAIN = parseTrustDomain("cluster.local");

/** A CA on the machine's clock. */
export function makeAuthority(): Authority {
  return Authority.create({ trustDomain: TRUST_DOMAIN, clock: systemClock, random: systemRandom });
}

/** A clock that knows how many of its timers wait: a stopped proxy leaves none. */
class CountedClock implements Clock {
  readonly #clock: Clock;
  #shift: Millis = 0;
  pending = 0;
  /** Timers take this part of their time. */
  pace = 1;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  now(): Millis {
    return this.#clock.now() + this.#shift;
  }

  /** Sets the wall clock ahead or back; timers do not feel it. */
  shift(by: Millis): void {
    this.#shift += by;
  }

  after(delay: Millis, run: () => void): Disposable {
    let waits = true;
    this.pending++;
    const end = () => {
      if (waits) this.pending--;
      waits = false;
    };
    const timer = this.#clock.after(delay * this.pace, () => {
      end();
      run();
    });
    return {
      [Symbol.dispose]: () => {
        end();
        timer[Symbol.dispose]();
      },
    };
  }
}

export class LoopbackPod {
  readonly name: string;
  readonly ip: Ip;
  readonly redirects = new FakeOriginalDestination();
  readonly logger = new MemoryLogger();
  readonly clock = new CountedClock(systemClock);
  readonly sidecar: Sidecar;
  readonly #abort = new AbortController();

  constructor(name: string, ip: Ip, directory: string, operatorPort: number, hbone?: number) {
    this.name = name;
    this.ip = ip;
    const env = {
      [ENV.podName]: name,
      [ENV.podNamespace]: "shop",
      [ENV.podUid]: `uid-${name}`,
      [ENV.podIps]: ip,
      [ENV.serviceAccount]: name,
      [ENV.operatorAddress]: `127.0.0.1:${operatorPort}`,
    };
    this.sidecar = new Sidecar(readConfig(env, directory), loopbackPod(ip, this.redirects, hbone), {
      clock: this.clock,
      random: systemRandom,
      logger: this.logger,
      version: "test",
    });
  }

  get id(): SpiffeId {
    return `spiffe://${TRUST_DOMAIN}/ns/shop/sa/${this.name}` as SpiffeId;
  }

  start(): Promise<void> {
    return this.sidecar.start(this.#abort.signal);
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    await this.sidecar.stop();
  }

  /** A connection of the application, which the kernel redirects to the proxy. */
  dial(ip: Ip, port: number): Socket {
    this.redirects.set(PORTS.outbound, { ip, port });
    return dialTo(this.ip, PORTS.outbound);
  }

  /** Plaintext from outside the mesh, which the kernel redirects to the proxy. */
  dialPlaintext(port: number, ip: Ip = this.ip): Socket {
    this.redirects.set(PORTS.inboundPlaintext, { ip, port });
    return dialTo(this.ip, PORTS.inboundPlaintext);
  }

  /** What discovery says of it. */
  workload(changes: Partial<Workload> = {}): Workload {
    return workload(this.name, [this.ip], changes);
  }

  /** `/metrics` as a scrape sees it. */
  async metrics(): Promise<string> {
    return (await fetch(`http://${this.ip}:${PORTS.metrics}/metrics`)).text();
  }
}

export class LoopbackMesh {
  readonly authority = makeAuthority();
  readonly operator = new FakeOperator(this.authority);
  readonly #directories: IdentityDirectory[] = [];
  readonly #pods: LoopbackPod[] = [];
  readonly #servers: Server[] = [];

  static async start(): Promise<LoopbackMesh> {
    const mesh = new LoopbackMesh();
    await mesh.operator.start();
    return mesh;
  }

  /** A meshed pod that discovery knows; its proxy is not started. */
  pod(name: string, hbone?: number): LoopbackPod {
    const directory = new IdentityDirectory(this.authority, `shop/${name}`);
    this.#directories.push(directory);
    const pod = new LoopbackPod(name, loopbackAddress(), directory.path, this.operator.port, hbone);
    this.#pods.push(pod);
    this.operator.addresses.push({ kind: "workload", workload: pod.workload() });
    return pod;
  }

  /** The pod as an endpoint of a service with one port. */
  service(name: string, vip: Ip, port: number, targetPort: number, pods: readonly LoopbackPod[]): void {
    const added = service(name, [vip], port, targetPort);
    for (const pod of pods) {
      const index = this.operator.addresses.findIndex(
        (address) => address.kind === "workload" && address.workload.name === pod.name,
      );
      const changed = pod.workload({ services: endpointOf(added) });
      this.operator.addresses[index] = { kind: "workload", workload: changed };
    }
    this.operator.addresses.push({ kind: "service", service: added });
  }

  /** An application that listens. */
  async listen(ip: Ip, port: number, onConnection: (socket: Socket) => void): Promise<void> {
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      socket.on("error", () => undefined);
      onConnection(socket);
    });
    this.#servers.push(server);
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(port, ip, resolve);
    });
  }

  async stop(): Promise<void> {
    await Promise.all(this.#pods.map((pod) => pod.stop()));
    for (const server of this.#servers) server.close();
    this.operator.stop();
    for (const directory of this.#directories) directory[Symbol.dispose]();
  }
}

/** A connection of an application, which ends each direction by itself. */
export function dialTo(host: Ip, port: number): Socket {
  return connect({ host, port, allowHalfOpen: true });
}

/** Everything that a socket brings, and how it ends: `fin`, or the code of the error (`ECONNRESET`). */
export function drained(socket: Socket): Promise<{ readonly bytes: Buffer; readonly end: string }> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    const done = (end: string) => resolve({ bytes: Buffer.concat(chunks), end });
    socket.on("data", (chunk: Buffer) => chunks.push(chunk));
    socket.on("end", () => done("fin"));
    socket.on("error", (error: NodeJS.ErrnoException) => done(error.code ?? error.message));
    socket.on("close", () => done("close"));
  });
}

/** Waits until something holds, at most 10 s: for what no event tells of. */
export async function eventually(holds: () => boolean | Promise<boolean>, what: string): Promise<void> {
  for (let i = 0; i < 1000; i++) {
    if (await holds()) return;
    await Bun.sleep(10);
  }
  throw new Error(`after 10 s still not: ${what}`);
}
