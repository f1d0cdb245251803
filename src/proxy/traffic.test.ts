/** What applications see through two proxies: by tunnel, in plaintext outbound, in plaintext inbound. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import type { Socket } from "node:net";
import { PORTS } from "../mesh/index.ts";
import { isBalanced } from "../testkit/accounts.ts";
import { workload } from "../testkit/addresses.ts";
import { loopbackAddress } from "../testkit/fake-original-destination.ts";
import { kernelSockets, openSockets } from "../testkit/kernel-sockets.ts";
import { drained, eventually, LoopbackMesh, type LoopbackPod } from "../testkit/loopback-mesh.ts";

const MEBI = 1024 * 1024;

let mesh: LoopbackMesh;
let client: LoopbackPod;
let server: LoopbackPod;
/** An address of a known workload without a sidecar. */
const unmeshed = loopbackAddress();

beforeAll(async () => {
  mesh = await LoopbackMesh.start();
  mesh.operator.settings = { ...mesh.operator.settings, mode: "permissive" };
  mesh.operator.addresses.push({ kind: "workload", workload: workload("legacy", [unmeshed], { tunnel: "none" }) });
  client = mesh.pod("client");
  server = mesh.pod("server");
  await Promise.all([client.start(), server.start()]);
});
afterAll(async () => {
  await mesh.stop();
});
afterEach(balanced);

async function balanced(): Promise<void> {
  for (const pod of [client, server]) {
    await eventually(() => isBalanced(pod.sidecar.metrics), `the accounts of ${pod.name} are balanced`);
  }
}

let lastPort = 20_000;

interface Path {
  readonly name: string;
  /** Where the application of the test has to listen. */
  readonly at: () => LoopbackPod["ip"];
  readonly dial: (port: number) => Socket;
}

const PATHS: readonly Path[] = [
  { name: "through a tunnel", at: () => server.ip, dial: (port) => client.dial(server.ip, port) },
  { name: "in plaintext to an unmeshed workload", at: () => unmeshed, dial: (port) => client.dial(unmeshed, port) },
  { name: "in plaintext from outside the mesh", at: () => server.ip, dial: (port) => server.dialPlaintext(port) },
];

/** Opens a connection of the kind; answers both applications' sockets. */
async function connect(path: Path): Promise<{ near: Socket; far: Socket }> {
  const accepted = Promise.withResolvers<Socket>();
  const port = ++lastPort;
  await mesh.listen(path.at(), port, accepted.resolve);
  const near = path.dial(port);
  return { near, far: await accepted.promise };
}

function pattern(length: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let i = 0; i < length; i += 4) bytes.writeUInt32BE((i * 2_654_435_761) >>> 0, i);
  return bytes;
}

describe.each(PATHS)("$name", (path) => {
  test("60: the client may end first and still gets the whole answer", async () => {
    const { near, far } = await connect(path);
    const [question, answer] = [pattern(MEBI), pattern(2 * MEBI)];
    const asked = drained(far).then((got) => {
      far.end(answer);
      return got;
    });
    near.end(question);
    const answered = await drained(near);
    expect((await asked).bytes.equals(question)).toBe(true);
    expect(answered.end).toBe("fin");
    expect(answered.bytes.equals(answer)).toBe(true);
  });

  test("60: the server may end first and still gets all that the client sends", async () => {
    const { near, far } = await connect(path);
    far.end("bye");
    expect(await drained(near)).toEqual({ bytes: Buffer.from("bye"), end: "fin" });
    const rest = pattern(MEBI);
    near.end(rest);
    const got = await drained(far);
    expect(got.end).toBe("fin");
    expect(got.bytes.equals(rest)).toBe(true);
  });

  test("71: a server that speaks first is heard at once", async () => {
    const { near, far } = await connect(path);
    far.write("220 ready\r\n");
    const greeting = await new Promise<Buffer>((resolve) => near.once("data", resolve));
    expect(greeting.toString()).toBe("220 ready\r\n");
    near.end();
    far.end();
    await drained(near);
  });

  test("72: a connection that says nothing at all ends cleanly", async () => {
    const { near, far } = await connect(path);
    near.end();
    expect((await drained(far)).end).toBe("fin");
    far.end();
    expect(await drained(near)).toEqual({ bytes: Buffer.alloc(0), end: "fin" });
  });

  test("61: a reset by the client reaches the server", async () => {
    const { near, far } = await connect(path);
    far.write("hello");
    await new Promise((resolve) => near.once("data", resolve));
    const end = drained(far);
    near.resetAndDestroy();
    expect((await end).end).toBe("ECONNRESET");
  });

  test("61: a reset by the server reaches the client", async () => {
    const { near, far } = await connect(path);
    near.write("hello");
    await new Promise((resolve) => far.once("data", resolve));
    const end = drained(near);
    far.resetAndDestroy();
    expect((await end).end).toBe("ECONNRESET");
  });

  test("a reset after the client's half-close is still a reset, not an end", async () => {
    const { near, far } = await connect(path);
    near.end("question");
    expect((await drained(far)).end).toBe("fin");
    const end = drained(near);
    far.resetAndDestroy();
    expect((await end).end).toBe("ECONNRESET");
  });

  test("a reader that stops stops the writer within bounded memory, and gets everything once it reads", async () => {
    const { near, far } = await connect(path);
    near.pause();
    const written = await fill(far);
    expect(written).toBeLessThan(48 * MEBI);
    far.end();
    let received = 0;
    near.on("data", (bytes: Buffer) => {
      received += bytes.length;
    });
    near.resume();
    await new Promise((resolve) => near.once("end", resolve));
    expect(received).toBe(written);
    near.end();
  });

  test("what was held back arrives although the server had ended before and the client ends meanwhile", async () => {
    const { near, far } = await connect(path);
    far.end("bye");
    expect((await drained(near)).end).toBe("fin");
    const got = drained(far);
    far.pause();
    const written = await fill(near);
    near.end();
    // The client's end reaches a proxy that does not read it now.
    await Bun.sleep(100);
    far.resume();
    const { bytes, end } = await got;
    expect([bytes.length, end]).toEqual([written, "fin"]);
  });

  test("a reset by a client whose writing is blocked is not left unseen", async () => {
    const { near, far } = await connect(path);
    const end = drained(far);
    far.pause();
    await fill(near);
    near.resetAndDestroy();
    // What is on the way may be lost, the end may not: the accounts are balanced although nobody reads.
    await balanced();
    far.resume();
    expect((await end).end).toBe("ECONNRESET");
  });

  test("a reset by a server whose writing is blocked is not left unseen", async () => {
    const { near, far } = await connect(path);
    const end = drained(near);
    near.pause();
    await fill(far);
    far.resetAndDestroy();
    await balanced();
    near.resume();
    expect((await end).end).toBe("ECONNRESET");
  });
});

/** Writes until nothing of it leaves any more; answers how many bytes that took. */
async function fill(writer: Socket): Promise<number> {
  const chunk = pattern(256 * 1024);
  let written = 0;
  let flows = true;
  while (flows) {
    written += chunk.length;
    if (writer.write(chunk)) continue;
    const drain = new Promise<boolean>((resolve) => writer.once("drain", () => resolve(true)));
    flows = await Promise.race([drain, Bun.sleep(300).then(() => false)]);
    if (written > 256 * MEBI) throw new Error("the writer never blocks");
  }
  return written;
}

test("connections that have ended leave no socket, whoever ended first", async () => {
  for (const path of PATHS) {
    for (const first of ["near", "far"] as const) {
      const before = openSockets();
      for (let i = 0; i < 20; i++) {
        const ends = await connect(path);
        const [one, other] = first === "near" ? [ends.near, ends.far] : [ends.far, ends.near];
        one.end("hello");
        expect((await drained(other)).end).toBe("fin");
        other.end("bye");
        expect((await drained(one)).end).toBe("fin");
      }
      // Each one has a listener of its own.
      await eventually(() => openSockets() <= before + 20, `no socket is left ${path.name} when ${first} ends first`);
    }
  }
});

test("24, 73: an idle connection is probed on every leg before the kernel forgets its redirection (60 s after a half-close)", async () => {
  const [tunnel] = PATHS;
  if (tunnel === undefined) throw new Error("no path");
  const { near, far } = await connect(tunnel);
  near.write("hello");
  await new Promise((resolve) => far.once("data", resolve));
  const legs = [
    { side: "local", at: [client.ip, PORTS.outbound] },
    { side: "remote", at: [server.ip, PORTS.hbone] },
    { side: "local", at: [server.ip, PORTS.hbone] },
    { side: "remote", at: [server.ip, lastPort] },
  ] as const;
  for (const { side, at } of legs) {
    await eventually(
      () => {
        const sockets = kernelSockets(at[0], at[1]).filter((one) => one[side] === at.join(":"));
        return sockets.length > 0 && sockets.every((one) => (one.keepAlive ?? 999) <= 45);
      },
      `the ${side} end of ${at.join(":")} is probed`,
    );
  }
  near.end();
  far.end();
});

test("65: one slow reader does not stall another connection of the same tunnel", async () => {
  const [tunnel] = PATHS;
  if (tunnel === undefined) throw new Error("no path");
  const slow = await connect(tunnel);
  slow.near.pause();
  for (let i = 0; i < 64; i++) slow.far.write(Buffer.alloc(MEBI));
  const quick = await connect(tunnel);
  quick.far.end(pattern(8 * MEBI));
  const { bytes, end } = await drained(quick.near);
  expect([bytes.length, end]).toEqual([8 * MEBI, "fin"]);
  quick.near.end();
  slow.near.destroy();
  slow.far.destroy();
});

test("what the client sends before the destination is known arrives in order", async () => {
  const late = mesh.pod("late");
  await late.start();
  const got = Promise.withResolvers<Buffer>();
  await mesh.listen(late.ip, 80, (socket) => {
    void drained(socket).then(({ bytes }) => {
      got.resolve(bytes);
      socket.end();
    });
  });
  mesh.operator.silent = true;
  const socket = client.dial(late.ip, 80);
  const early = pattern(MEBI);
  socket.end(early);
  await mesh.operator.until(() => mesh.operator.asked(late.ip));
  mesh.operator.silent = false;
  mesh.operator.push({ kind: "workload", workload: late.workload() });
  expect((await got.promise).equals(early)).toBe(true);
  expect((await drained(socket)).end).toBe("fin");
});

test("a service reaches its endpoints, at their target port", async () => {
  const vip = loopbackAddress();
  const hits: string[] = [];
  const pods = [mesh.pod("endpoint-a"), mesh.pod("endpoint-b")];
  await Promise.all(pods.map((pod) => pod.start()));
  for (const pod of pods)
    await mesh.listen(pod.ip, 8080, (socket) => {
      hits.push(pod.name);
      socket.end(pod.name);
    });
  mesh.service("web", vip, 80, 8080, pods);
  const names = new Set<string>();
  for (let i = 0; i < 24; i++) {
    const socket = client.dial(vip, 80);
    socket.end();
    names.add((await drained(socket)).bytes.toString());
  }
  expect([...names].sort()).toEqual(["endpoint-a", "endpoint-b"]);
});
