/**
 * A hostile member of the mesh against a running proxy: its certificate is good, its HTTP/2 is not. While it attacks, a proxy
 * that behaves keeps its connections through the attacked one.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { once } from "node:events";
import type { Socket } from "node:net";
import { isBalanced } from "../testkit/accounts.ts";
import { ATTACKS, type AttackTarget, connectHead, ODD_REQUESTS, STREAM_ATTACKS } from "../testkit/attacks.ts";
import { frame, frames } from "../testkit/http2-peer.ts";
import { eventually, LoopbackMesh, type LoopbackPod } from "../testkit/loopback-mesh.ts";
import { issueIdentity, type TlsIdentity } from "../testkit/mesh-identity.ts";
import { RawTunnel, type RawTunnelOptions } from "../testkit/raw-tunnel.ts";
import { ERROR_CODES } from "../tunnel/index.ts";

const ECHO = 8080;

let mesh: LoopbackMesh;
let victim: LoopbackPod;
let friend: LoopbackPod;
let identity: TlsIdentity;
let target: AttackTarget;

beforeAll(async () => {
  mesh = await LoopbackMesh.start();
  victim = mesh.pod("victim");
  friend = mesh.pod("friend");
  await Promise.all([victim.start(), friend.start()]);
  await mesh.listen(victim.ip, ECHO, (socket) => socket.pipe(socket));
  target = { ip: victim.ip, port: ECHO };
  identity = issueIdentity(mesh.authority, "spiffe://cluster.local/ns/shop/sa/attacker");
});
afterAll(() => mesh.stop());

/** A connection of an application that behaves, through both proxies. */
class Witness implements Disposable {
  readonly #socket: Socket;
  #got = "";
  #ended: string | undefined;
  #said = 0;

  constructor() {
    this.#socket = friend.dial(victim.ip, ECHO);
    this.#socket.setEncoding("latin1");
    this.#socket.on("data", (text: string) => (this.#got += text));
    this.#socket.on("error", (error: NodeJS.ErrnoException) => (this.#ended = error.code ?? error.message));
    this.#socket.on("end", () => (this.#ended ??= "fin"));
  }

  /** Says a word and hears it again. */
  async speaks(): Promise<void> {
    const word = `word ${++this.#said};`;
    this.#socket.write(word);
    while (this.#ended === undefined && !this.#got.endsWith(word)) await once(this.#socket, "data");
    expect(this.#ended).toBeUndefined();
  }

  /** The same, again and again until the work is done. */
  async speaksDuring<T>(work: Promise<T>): Promise<T> {
    let done = false;
    void work.finally(() => (done = true)).catch(() => undefined);
    do await this.speaks();
    while (!done);
    return await work;
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }
}

let witness: Witness;
beforeEach(async () => {
  witness = new Witness();
  await witness.speaks();
});
afterEach(async () => {
  await witness.speaks();
  witness[Symbol.dispose]();
  await eventually(() => isBalanced(victim.sidecar.metrics), "nothing of the attack is left");
});

function attacker(options: Partial<RawTunnelOptions> = {}): Promise<RawTunnel> {
  return RawTunnel.open({ ip: victim.ip, identity, ...options });
}

/** Bytes go to the application on a stream of the tunnel, and come back. */
async function echoes(tunnel: RawTunnel, stream: number): Promise<void> {
  const before = tunnel.received.get(stream) ?? 0;
  await tunnel.send(frames.data(stream, "twelve bytes"));
  await tunnel.until(() => (tunnel.received.get(stream) ?? 0) >= before + 12);
  expect(tunnel.closed).toBe(false);
  expect(tunnel.resetOf(stream)).toBeUndefined();
}

/** A connection of the attacker's own, which nothing is wrong with. */
async function connected(tunnel: RawTunnel, stream: number): Promise<void> {
  await tunnel.send(frames.headers(stream, connectHead(target)));
  await tunnel.until(() => tunnel.answers.has(stream));
  expect(tunnel.answers.get(stream)).toBe("200");
}

describe("is cut, and nobody else hears of it:", () => {
  test.each(ATTACKS)("$name ($lesson)", async ({ run, verdict, peer }) => {
    using tunnel = await attacker(peer);
    await witness.speaksDuring(run(tunnel, target));
    await tunnel.end();
    expect(tunnel.goAway?.debug).toContain(verdict[1]);
    expect(tunnel.goAway?.code).toBe(verdict[0]);
  });
});

describe("costs its own stream, and no other of the same tunnel:", () => {
  test.each(STREAM_ATTACKS)("$name ($lesson)", async (attack) => {
    using tunnel = await attacker();
    await connected(tunnel, 1);
    await tunnel.send(attack.frames(3, target));
    await tunnel.until(() => tunnel.resetOf(3) !== undefined);
    expect(tunnel.resetOf(3)).toBe(attack.reset);
    if (attack.status !== undefined) expect(tunnel.answers.get(3)).toBe(attack.status);
    await echoes(tunnel, 1);
    // And the field table is still in step.
    await connected(tunnel, 5);
    await echoes(tunnel, 5);
  });

  test("DATA beyond its window (RFC 9113 §6.9.1)", async () => {
    await mesh.listen(victim.ip, ECHO + 1, (socket) => socket.pause());
    using tunnel = await attacker();
    await connected(tunnel, 1);
    await tunnel.send(frames.headers(3, connectHead({ ip: victim.ip, port: ECHO + 1 })));
    const piece = frames.data(3, Buffer.alloc(16_384));
    while (tunnel.resetOf(3) === undefined && !tunnel.closed) {
      await tunnel.send(piece);
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
    expect(tunnel.resetOf(3)).toBe(ERROR_CODES.FLOW_CONTROL_ERROR);
    // What did not arrive was given back to the window of the connection.
    await echoes(tunnel, 1);
  });
});

describe("is taken, and trusted in nothing:", () => {
  test.each(ODD_REQUESTS)("a request with $name", async (request) => {
    using tunnel = await attacker();
    await tunnel.send(request.frames(1, target));
    await tunnel.until(() => tunnel.answers.has(1));
    expect(tunnel.answers.get(1)).toBe("200");
    await echoes(tunnel, 1);
    const padded = Buffer.concat([Buffer.from([100]), Buffer.from("twelve bytes"), Buffer.alloc(100)]);
    await tunnel.send(frame("DATA", 8, 1, padded));
    await tunnel.until(() => tunnel.received.get(1) === 24);
    expect(JSON.stringify(victim.logger.lines)).not.toMatch(/jndi|passwd|k8s\.pod|traceparent/);
    expect(await victim.metrics()).not.toMatch(/jndi|passwd|k8s/);
  });
});

describe("the end of a tunnel", () => {
  test("amid a field block leaves nothing (CVE-2024-27983)", async () => {
    for (let i = 0; i < 20; i++) {
      using tunnel = await attacker();
      await connected(tunnel, 1);
      await tunnel.send(frame("HEADERS", 0, 3, Buffer.from([0x82])), frame("CONTINUATION", 0, 3).subarray(0, i % 9));
    }
  });

  test("without a word, streams and dials open, leaves nothing (CVE-2025-23085)", async () => {
    for (let i = 0; i < 20; i++) {
      using tunnel = await attacker();
      for (let stream = 1; stream < 200; stream += 2) await tunnel.send(frames.headers(stream, connectHead(target)));
      if (i % 2 === 0) await tunnel.until(() => tunnel.answers.size > 50);
    }
  });

  test("comes within a second of a GOAWAY for an error, though the peer goes on (CVE-2026-21714)", async () => {
    using tunnel = await attacker();
    await connected(tunnel, 1);
    const ended = tunnel.end();
    await tunnel.send(frames.windowUpdate(0, 0x7fff_ffff));
    await tunnel.until(() => tunnel.goAway !== undefined);
    const went = performance.now();
    // It neither closes nor stops.
    while (!tunnel.closed) {
      await tunnel.send(frames.ping("12345678"));
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    await ended;
    expect(performance.now() - went).toBeLessThan(4_000);
  });

  test("for an error is the end of reading: what comes behind it is not done (CVE-2026-48937)", async () => {
    let reached = 0;
    await mesh.listen(victim.ip, ECHO + 2, () => void reached++);
    using tunnel = await attacker();
    await tunnel.send(
      frames.windowUpdate(0, 0x7fff_ffff),
      frames.headers(1, connectHead({ ip: victim.ip, port: ECHO + 2 })),
    );
    await tunnel.end();
    expect(tunnel.answers.size).toBe(0);
    expect(reached).toBe(0);
  });
});
