import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { drained, LoopbackMesh, type LoopbackPod } from "../testkit/loopback-mesh.ts";

let mesh: LoopbackMesh;
let client: LoopbackPod;
let server: LoopbackPod;

beforeAll(async () => {
  mesh = await LoopbackMesh.start();
  client = mesh.pod("client");
  server = mesh.pod("server");
  await mesh.listen(server.ip, 8080, (socket) => socket.pipe(socket));
  await Promise.all([client.start(), server.start()]);
});
afterAll(async () => {
  await mesh.stop();
});

describe("two pods", () => {
  test("an echo passes by mutual TLS and is counted as such at both ends", async () => {
    const socket = client.dial(server.ip, 8080);
    socket.end("hello");
    expect(await drained(socket)).toEqual({ bytes: Buffer.from("hello"), end: "fin" });
    expect(client.sidecar.metrics.of("outbound", "mtls")).toBe(1);
    expect(server.sidecar.metrics.of("inbound", "mtls")).toBe(1);
  });
});
