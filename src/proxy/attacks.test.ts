/**
 * A hostile member of the mesh against a running proxy: its certificate is good, its HTTP/2 is not. While it attacks, a proxy
 * that behaves keeps its connections through the attacked one.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { once } from "node:events";
import type { Socket } from "node:net";
import { isBalanced } from "../testkit/accounts.ts";
import { ATTACKS } from "../testkit/attacks.ts";
import { eventually, LoopbackMesh, type LoopbackPod } from "../testkit/loopback-mesh.ts";
import { issueIdentity, type TlsIdentity } from "../testkit/mesh-identity.ts";
import { RawTunnel, type RawTunnelOptions } from "../testkit/raw-tunnel.ts";

const ECHO = 8080;

let mesh: LoopbackMesh;
let victim: LoopbackPod;
let friend: LoopbackPod;
let identity: TlsIdentity;

beforeAll(async () => {
  mesh = await LoopbackMesh.start();
  victim = mesh.pod("victim");
  friend = mesh.pod("friend");
  await Promise.all([victim.start(), friend.start()]);
  await mesh.listen(victim.ip, ECHO, (socket) => socket.pipe(socket));
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

describe("is cut, and nobody else hears of it:", () => {
  test.each(ATTACKS)("$name ($lesson)", async ({ run, verdict, peer }) => {
    using tunnel = await attacker(peer);
    await witness.speaksDuring(run(tunnel, { ip: victim.ip, port: ECHO }));
    await tunnel.end();
    expect(tunnel.goAway?.debug).toContain(verdict[1]);
    expect(tunnel.goAway?.code).toBe(verdict[0]);
  });
});
