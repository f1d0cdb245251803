/** Tunnels to and from an HTTP/2 and TLS of another make: node:http2 under Node, with a certificate of the mesh. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { PORTS } from "../mesh/index.ts";
import { loopbackAddress } from "../testkit/fake-original-destination.ts";
import { drained, eventually, LoopbackMesh, type LoopbackPod } from "../testkit/loopback-mesh.ts";
import { issueIdentity } from "../testkit/mesh-identity.ts";
import { NodePeer } from "../testkit/node-peer.ts";

const MEBI = 1024 * 1024;
const PEER = "spiffe://cluster.local/ns/shop/sa/peer";

let mesh: LoopbackMesh;
beforeAll(async () => {
  mesh = await LoopbackMesh.start();
});
afterAll(() => mesh.stop());

describe("a Node client on a proxy's tunnel port", () => {
  let pod: LoopbackPod;
  beforeAll(async () => {
    pod = mesh.pod("server");
    await pod.start();
    await mesh.listen(pod.ip, 8080, (socket) => socket.pipe(socket));
    await mesh.listen(pod.ip, 25, (socket) => socket.end("220 ready\r\n"));
  });

  async function run(options: Readonly<Record<string, unknown>>): Promise<NodePeer["events"]> {
    const identity = issueIdentity(mesh.authority, PEER);
    await using node = new NodePeer("client", { ip: pod.ip, port: PORTS.hbone, ...identity, ...options });
    return [...(await node.all())];
  }

  test("verifies it, sends and gets bytes on CONNECT streams, and ends first", async () => {
    const [secure, small, large, again] = await run({
      requests: [
        { authority: `${pod.ip}:8080`, body: 5, endFirst: true },
        { authority: `${pod.ip}:8080`, body: 8 * MEBI, endFirst: true },
      ],
    });
    expect(secure).toEqual({
      event: "secure",
      protocol: "TLSv1.3",
      alpn: "h2",
      authorized: true,
      names: "URI:spiffe://cluster.local/ns/shop/sa/server",
    });
    expect(small).toMatchObject({ status: 200, bytes: 5, text: "aaaaa", order: ["end"], code: 0 });
    expect(large).toMatchObject({ status: 200, bytes: 8 * MEBI, order: ["end"], code: 0 });
    // No resumption: whoever comes again is judged again, by the bundle of that moment.
    expect(again).toEqual({ event: "again", tickets: 0, reused: false });
    expect(pod.logger.of("connection")[0]?.fields).toMatchObject({ reason: "mtls", peer: PEER });
  });

  test("hears a server that speaks and ends first, and may still send", async () => {
    const [, stream] = await run({
      waitForEnd: true,
      requests: [{ authority: `${pod.ip}:25`, body: 1024, endFirst: false }],
    });
    expect(stream).toMatchObject({ status: 200, text: "220 ready\r\n", order: ["end"], code: 0 });
  });

  test("is refused with status and reason", async () => {
    const [, closed, own, elsewhere] = await run({
      requests: [`${pod.ip}:9`, `${pod.ip}:${PORTS.hbone}`, `${loopbackAddress()}:8080`].map((authority) => ({
        authority,
        body: 0,
        endFirst: true,
      })),
    });
    expect(closed).toMatchObject({ status: 503, reason: "failed-connect", code: 0 });
    expect(own).toMatchObject({ status: 503, reason: "refused-own-port", code: 0 });
    expect(elsewhere).toMatchObject({ status: 400, code: 0 });
  });
});

describe("a proxy that dials a Node server", () => {
  const PEER_HBONE = 25_009;
  let pod: LoopbackPod;
  let target: LoopbackPod;
  let node: NodePeer;
  beforeAll(async () => {
    pod = mesh.pod("client", PEER_HBONE);
    target = mesh.pod("peer");
    await pod.start();
    node = new NodePeer("server", { ip: target.ip, port: PEER_HBONE, ...issueIdentity(mesh.authority, PEER) });
    await node.next("listening");
  });
  afterAll(async () => {
    await node[Symbol.asyncDispose]();
  });

  test("opens CONNECT streams with its own certificate; bytes pass both ways and the client may end first", async () => {
    const socket = pod.dial(target.ip, 8080);
    const body = Buffer.alloc(8 * MEBI, 0x62);
    socket.end(body);
    const { bytes, end } = await drained(socket);
    expect(end).toBe("fin");
    expect(bytes.equals(body)).toBe(true);
    expect(await node.next("stream")).toEqual({
      event: "stream",
      method: "CONNECT",
      authority: `${target.ip}:8080`,
      names: "URI:spiffe://cluster.local/ns/shop/sa/client",
      reused: false,
    });
    expect(pod.sidecar.metrics.of("outbound", "mtls")).toBe(1);
  });

  test("shakes hands anew on each tunnel: no resumption at the client's end either", async () => {
    const before = node.events.length;
    for (const port of [99, 99]) {
      const socket = pod.dial(target.ip, port);
      socket.end();
      expect((await drained(socket)).end).toBe("fin");
      await eventually(
        async () => (await pod.metrics()).includes('tulle_tunnels{direction="outbound"} 0\n'),
        "the tunnel has left the pool",
      );
    }
    const streams = node.events.slice(before).filter((event) => event.event === "stream");
    expect(streams.map((event) => event["reused"])).toEqual([false, false]);
  });

  test("hears a server that speaks and ends first, and may still send", async () => {
    const socket = pod.dial(target.ip, 25);
    expect(await drained(socket)).toEqual({ bytes: Buffer.from("220 ready\r\n"), end: "fin" });
    socket.end(Buffer.alloc(MEBI));
    expect(await node.next("ended")).toEqual({ event: "ended", bytes: MEBI });
  });

  test("resets the application on a refusal and on a reset of the stream", async () => {
    for (const port of [401, 66]) {
      const socket = pod.dial(target.ip, port);
      expect((await drained(socket)).end).toBe("ECONNRESET");
    }
    expect(pod.sidecar.metrics.of("outbound", "refused-policy")).toBe(1);
  });
});
