import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { connect } from "node:net";
import { PORTS } from "../mesh/index.ts";
import { isBalanced } from "../testkit/accounts.ts";
import { openSockets } from "../testkit/kernel-sockets.ts";
import { drained, eventually, LoopbackMesh, type LoopbackPod } from "../testkit/loopback-mesh.ts";

let mesh: LoopbackMesh;
beforeEach(async () => {
  mesh = await LoopbackMesh.start();
});
afterEach(() => mesh.stop());

async function readiness(pod: LoopbackPod): Promise<string> {
  const response = await fetch(`http://${pod.ip}:${PORTS.readiness}/healthz/ready`);
  return `${response.status} ${(await response.text()).trim()}`;
}

/** Connects, or the code of the error. */
function tryPort(pod: LoopbackPod, port: number): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(port, pod.ip, () => {
      socket.destroy();
      resolve("open");
    });
    socket.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
  });
}

async function echo(client: LoopbackPod, server: LoopbackPod): Promise<string> {
  const socket = client.dial(server.ip, 8080);
  socket.end("hello");
  const { bytes, end } = await drained(socket);
  return end === "fin" ? bytes.toString() : end;
}

/** A client and a server that echoes, both ready. */
async function pair(): Promise<[LoopbackPod, LoopbackPod]> {
  const [client, server] = [mesh.pod("client"), mesh.pod("server")];
  await mesh.listen(server.ip, 8080, (socket) => socket.pipe(socket));
  await Promise.all([client.start(), server.start()]);
  return [client, server];
}

test("an echo passes by mutual TLS and is counted as such at both ends", async () => {
  const [client, server] = await pair();
  expect(await echo(client, server)).toBe("hello");
  expect(client.sidecar.metrics.of("outbound", "mtls")).toBe(1);
  expect(server.sidecar.metrics.of("inbound", "mtls")).toBe(1);
  expect(await client.metrics()).toContain('tulle_connections_total{direction="outbound",reason="mtls"} 1\n');
});

describe("until settings, bundle and certificate are there", () => {
  test("105: nothing takes traffic, and readiness says what is missing", async () => {
    const pod = mesh.pod("early");
    mesh.operator.mute = true;
    mesh.operator.refusing = true;
    const started = pod.start();
    await mesh.operator.until(() => mesh.operator.streams === 1);
    expect(await readiness(pod)).toBe("503 waiting for settings, trust bundle, certificate");
    for (const port of [PORTS.outbound, PORTS.inboundPlaintext, PORTS.hbone]) {
      expect(await tryPort(pod, port)).toBe("ECONNREFUSED");
    }
    mesh.operator.mute = false;
    mesh.operator.cut();
    await pod.logger.nth("certificate request failed", 1);
    expect(await readiness(pod)).toBe("503 waiting for certificate");
    mesh.operator.refusing = false;
    await started;
    expect(await readiness(pod)).toBe("200 ready");
    expect(await tryPort(pod, PORTS.outbound)).toBe("open");
  });

  test("it can be stopped", async () => {
    const pod = mesh.pod("early");
    mesh.operator.mute = true;
    const started = pod.start();
    await mesh.operator.until(() => mesh.operator.streams === 1);
    await pod.stop();
    await started;
    expect(await tryPort(pod, PORTS.readiness)).toBe("ECONNREFUSED");
    expect(pod.clock.pending).toBe(0);
  });
});

test("104: a port that is taken ends the start with an error that names it, and stopping leaves nothing", async () => {
  const pod = mesh.pod("late");
  await mesh.listen(pod.ip, PORTS.hbone, (socket) => socket.destroy());
  await expect(pod.start()).rejects.toMatchObject({
    code: "bind-failed",
    exitCode: 1,
    message: `cannot listen on ${pod.ip} port ${PORTS.hbone} (tunnels of other pods): another process listens there`,
  });
  await pod.stop();
  for (const port of [PORTS.metrics, PORTS.readiness]) expect(await tryPort(pod, port)).toBe("ECONNREFUSED");
  expect(pod.clock.pending).toBe(0);
});

describe("while the operator is away", () => {
  test("92: a ready proxy stays ready and goes on carrying traffic", async () => {
    const [client, server] = await pair();
    expect(await echo(client, server)).toBe("hello");
    mesh.operator.stop();
    await client.logger.nth("discovery is away", 1);
    expect(await echo(client, server)).toBe("hello");
    expect(await readiness(client)).toBe("200 ready");
    expect(await client.metrics()).toContain("tulle_discovery_connected 0\n");
  });

  test("a meshed pod that was never met is not reached in plaintext", async () => {
    const [client] = await pair();
    const other = mesh.pod("other");
    mesh.operator.stop();
    await client.logger.nth("discovery is away", 1);
    client.clock.pace = 0.02;
    let reached = 0;
    await mesh.listen(other.ip, 8080, () => reached++);
    const socket = client.dial(other.ip, 8080);
    socket.end("secret");
    expect((await drained(socket)).end).toBe("ECONNRESET");
    expect(client.sidecar.metrics.of("outbound", "failed-discovery")).toBe(1);
    expect(reached).toBe(0);
  });
});

test("a raised reissue epoch renews the certificate, new handshakes use it, and open connections stay", async () => {
  const [client, server] = await pair();
  const socket = client.dial(server.ip, 8080);
  socket.write("before ");
  await new Promise((resolve) => socket.once("data", resolve));
  mesh.operator.settings = { ...mesh.operator.settings, reissueEpoch: 1 };
  mesh.operator.pushSettings();
  const [{ fields: first }, { fields: second }] = await Promise.all([
    server.logger.nth("certificate issued", 1),
    server.logger.nth("certificate issued", 2),
  ]);
  expect(second["serial"]).not.toBe(first["serial"] as never);
  await mesh.operator.until(() =>
    mesh.operator.reports.some((report) => report.leaf?.serial === second["serial"] && report.reissueEpoch === 1),
  );
  const rest = drained(socket);
  socket.end("after");
  expect(await rest).toEqual({ bytes: Buffer.from("after"), end: "fin" });
});

describe("the HTTP listeners", () => {
  test("answer GET and HEAD on their one path", async () => {
    const pod = mesh.pod("web");
    await pod.start();
    const base = `http://${pod.ip}:${PORTS.metrics}`;
    const metrics = await fetch(`${base}/metrics`);
    expect(metrics.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
    expect((await fetch(`${base}/metrics`, { method: "HEAD" })).status).toBe(200);
    expect((await fetch(`${base}/`)).status).toBe(404);
    const posted = await fetch(`${base}/metrics`, { method: "POST", body: "x" });
    expect([posted.status, posted.headers.get("allow")]).toEqual([405, "GET, HEAD"]);
  });
});

describe("stopping", () => {
  test("is at once when nothing is open, says so to the operator, and leaves no socket and no timer", async () => {
    const before = openSockets();
    const [client, server] = await pair();
    expect(await echo(client, server)).toBe("hello");
    const begun = performance.now();
    await Promise.all([client.stop(), server.stop()]);
    expect(performance.now() - begun).toBeLessThan(1_000);
    for (const pod of [client, server]) {
      expect(mesh.operator.reports.findLast((report) => report.counters.length > 0)?.draining).toBe(true);
      expect(pod.logger.lines.at(-1)?.message).toBe("stopped");
      expect(pod.clock.pending).toBe(0);
      expect(isBalanced(pod.sidecar.metrics)).toBe(true);
    }
    // The listener of the application is still there, and the operator notices a little later that its peers are gone.
    await eventually(() => openSockets() <= before + 1, "no socket is left");
  });

  test("100: lets a connection end that is about to", async () => {
    const [client, server] = await pair();
    const socket = client.dial(server.ip, 8080);
    socket.write("hello");
    await new Promise((resolve) => socket.once("data", resolve));
    const stopped = server.stop();
    const rest = drained(socket);
    socket.end("last words");
    expect(await rest).toEqual({ bytes: Buffer.from("last words"), end: "fin" });
    await stopped;
    expect(server.logger.of("connections cut at the end of the drain")).toEqual([]);
  });

  test("100: cuts after 2 s what does not end, also when the wall clock is set back meanwhile", async () => {
    const [client, server] = await pair();
    const socket = client.dial(server.ip, 8080);
    const end = drained(socket);
    socket.write("hello");
    await client.logger.nth("connection", 1);
    const begun = performance.now();
    const stopping = client.stop();
    client.clock.shift(-3_600_000);
    await stopping;
    expect(performance.now() - begun).toBeLessThan(3_000);
    expect((await end).end).toBe("ECONNRESET");
    expect(client.logger.of("connections cut at the end of the drain")[0]?.fields).toEqual({ connections: 1 });
    expect(client.clock.pending).toBe(0);
    await eventually(() => isBalanced(server.sidecar.metrics), "the server's accounts are balanced");
  });

  test("does not wait for an operator that does not answer", async () => {
    const pod = mesh.pod("web");
    await pod.start();
    mesh.operator.deaf = true;
    const begun = performance.now();
    await pod.stop();
    expect(performance.now() - begun).toBeLessThan(3_000);
    expect(pod.clock.pending).toBe(0);
  });
});

let unhandled: unknown[];
const onUnhandled = (reason: unknown) => unhandled.push(reason);
beforeAll(() => {
  unhandled = [];
  process.on("unhandledRejection", onUnhandled);
});
afterAll(() => {
  process.off("unhandledRejection", onUnhandled);
  expect(unhandled).toEqual([]);
});
