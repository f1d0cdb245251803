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
import { drained, eventually, LoopbackMesh, type LoopbackPod } from "../testkit/loopback-mesh.ts";
import { issueIdentity, type TlsIdentity } from "../testkit/mesh-identity.ts";
import { RawTunnel, type RawTunnelOptions, RawTunnelServer } from "../testkit/raw-tunnel.ts";
import { ERROR_CODES, type HeaderList } from "../tunnel/index.ts";

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

  constructor(from: LoopbackPod, to: LoopbackPod) {
    this.#socket = from.dial(to.ip, ECHO);
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
  witness = new Witness(friend, victim);
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

describe("a hostile server costs the connections through it, and no others:", () => {
  const HBONE = 25_010;
  let client: LoopbackPod;
  let good: LoopbackPod;
  let evil: LoopbackPod;
  beforeAll(async () => {
    [client, good, evil] = [mesh.pod("client", HBONE), mesh.pod("good", HBONE), mesh.pod("evil", HBONE)];
    await Promise.all([client.start(), good.start()]);
    await mesh.listen(good.ip, ECHO, (socket) => socket.pipe(socket));
  });

  interface Hostility {
    readonly name: string;
    /** In answer to the request on stream 1, then many times. */
    readonly first?: Uint8Array;
    readonly flood: Uint8Array;
    /** Code and text of the client's GOAWAY; undefined when only the stream is lost. */
    readonly verdict?: readonly [code: number, text: string];
    /** The application reads nothing of it. */
    readonly deaf?: true;
  }
  const E = ERROR_CODES;
  const head = (...fields: HeaderList) => frames.headers(1, [[":status", "200"], ...fields]);
  const calm = (text: string) => [E.ENHANCE_YOUR_CALM, text] as const;
  const hostilities: readonly Hostility[] = [
    { name: "a flood of PING", first: head(), flood: frames.ping("12345678"), verdict: calm("ping") },
    { name: "a flood of SETTINGS", first: head(), flood: frames.settings([3, 1]), verdict: calm("settings") },
    { name: "a flood of empty DATA", first: head(), flood: frames.data(1, ""), verdict: calm("empty-data") },
    {
      name: "a flood of WINDOW_UPDATE by 1",
      first: head(),
      flood: frames.windowUpdate(0, 1),
      verdict: calm("window-update"),
    },
    { name: "interim responses without end", flood: frames.headers(1, [[":status", "103"]]), verdict: calm("ignored") },
    { name: "a flood of GOAWAY", first: head(), flood: frames.goAway(1, 0), verdict: calm("goaway") },
    {
      name: "a flood of unknown frames",
      first: head(),
      flood: frame(0xfa, 0, 0, Buffer.alloc(100)),
      verdict: calm("ignored"),
    },
    {
      name: "a field block that never ends",
      first: frame("HEADERS", 0, 1, Buffer.from([0x88])),
      flood: frame("CONTINUATION", 0, 1),
      verdict: calm("CONTINUATION"),
    },
    { name: "DATA beyond every window", first: head(), flood: frames.data(1, Buffer.alloc(16_384)), deaf: true },
    { name: "DATA before a response", flood: frames.data(1, "x") },
    {
      name: "a response of countless fields",
      first: head(...Array.from({ length: 300 }, (_, i) => [`x-${i}`, "1"] as const)),
      flood: frames.windowUpdate(1, 1),
    },
    {
      name: "a stream of its own",
      first: head(),
      flood: frame("PUSH_PROMISE", 4, 1, Buffer.from([0, 0, 0, 2, 0x82])),
      verdict: [E.PROTOCOL_ERROR, "PUSH_PROMISE"],
    },
  ];

  test.each(hostilities)("$name", async ({ first, flood, verdict, deaf = false }) => {
    const identity = { ...issueIdentity(mesh.authority, evil.id), ca: mesh.authority.bundle().pem() };
    using server = new RawTunnelServer(evil.ip, HBONE, identity);
    using neighbour = new Witness(client, good);
    await neighbour.speaks();
    const socket = client.dial(evil.ip, 80);
    // An application that hears nothing is not told of a reset either (node:net of Bun 1.4.5).
    const end = deaf ? undefined : drained(socket);
    const tunnel = await server.first();
    await tunnel.until(() => tunnel.frames.some(({ type, stream }) => type === "HEADERS" && stream === 1));
    if (first !== undefined) await tunnel.send(first);
    const lost = () => tunnel.resetOf(1) !== undefined;
    await neighbour.speaksDuring(
      tunnel.flood(20_000, () => (verdict === undefined && lost() ? Buffer.alloc(0) : flood)),
    );
    if (end !== undefined) expect((await end).end).toBe("ECONNRESET");
    if (verdict === undefined) expect(lost()).toBe(true);
    socket.destroy();
    if (verdict !== undefined) {
      await tunnel.end();
      expect(tunnel.goAway?.debug).toContain(verdict[1]);
      expect(tunnel.goAway?.code).toBe(verdict[0]);
    }
    await neighbour.speaks();
  });
});
