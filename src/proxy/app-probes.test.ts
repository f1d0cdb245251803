import { afterAll, afterEach, describe, expect, test } from "bun:test";
import { createServer, type Socket } from "node:net";
import { Server as GrpcServer, ServerCredentials } from "@grpc/grpc-js";
import { systemClock } from "../cli/system.ts";
import { KeyPair, parseSpiffeId, pemEncode } from "../identity/index.ts";
import { type AppProbe, type AppProbes, ENV, hookPath, probePath } from "../mesh/index.ts";
import { loopbackAddress } from "../testkit/fake-original-destination.ts";
import { frames } from "../testkit/http2-peer.ts";
import { makeAuthority } from "../testkit/loopback-mesh.ts";
import { AppProber } from "./app-probes.ts";
import { readAppProbes } from "./declared-probes.ts";
import { ProxyError } from "./errors.ts";
import { HttpListener } from "./http.ts";

const ip = loopbackAddress();
const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** An application that answers HTTP on the pod's address. */
function app(fetch: (request: Request) => Response | Promise<Response>, tls?: { key: string; cert: string }): number {
  const server = Bun.serve({ hostname: ip, port: 0, development: false, fetch, ...(tls === undefined ? {} : { tls }) });
  cleanups.push(() => server.stop(true));
  return server.port ?? 0;
}

async function raw(onConnection: (socket: Socket) => void): Promise<number> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
    onConnection(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, ip, resolve));
  cleanups.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as { port: number }).port;
}

/** The proxy's side: what the kubelet gets for one probe. */
function kubelet(
  probe: AppProbe,
  path = probePath("app", "livez"),
): (asked?: string, init?: RequestInit) => Promise<Response> {
  const prober = new AppProber({ probes: { [path]: probe }, ip, clock: systemClock, version: "test" });
  const server = new HttpListener({
    clock: systemClock,
    hosts: [ip],
    port: 0,
    what: "metrics",
    path: "/metrics",
    answer: () => new Response("metrics"),
    others: prober,
  });
  cleanups.push(() => {
    prober[Symbol.dispose]();
    void server.stop();
  });
  return (asked = path, init = {}) => fetch(`http://${ip}:${server.port}${asked}`, { ...init, keepalive: false });
}

const http = (port: number, more: Partial<NonNullable<AppProbe["httpGet"]>> = {}, timeoutSeconds = 5): AppProbe => ({
  httpGet: { port, ...more },
  port,
  timeoutSeconds,
});
const said = async (answer: Promise<Response>): Promise<[number, string]> => {
  const response = await answer;
  return [response.status, (await response.text()).trim()];
};

describe("an HTTP probe", () => {
  test("succeeds on 200 to 399 and fails on the rest, with the status in the answer", async () => {
    for (const [status, code] of [
      [200, 200],
      [204, 200],
      [399, 200],
      [304, 200],
      [400, 503],
      [500, 503],
    ] as const) {
      const port = app(() => new Response(null, { status }));
      const [got, text] = await said(kubelet(http(port))());
      expect(got).toBe(code);
      expect(text).toBe(code === 200 ? "ok" : `the application answered ${status}`);
    }
  });

  test("carries path, query, headers and the kubelet's own agent; a host header is the declared one", async () => {
    let seen: { readonly url: string; readonly headers: Headers } | undefined;
    const port = app((request) => {
      seen = { url: request.url, headers: new Headers(request.headers) };
      return new Response("x".repeat(100_000));
    });
    const httpHeaders = [
      { name: "Host", value: "shop.example.com" },
      { name: "X-Probe", value: "a" },
      { name: "x-probe", value: "b" },
      { name: "Accept", value: "text/plain" },
    ];
    expect(await said(kubelet(http(port, { path: "/live/it?deep=1&x", httpHeaders }))())).toEqual([200, "ok"]);
    expect(seen?.url).toBe("http://shop.example.com/live/it?deep=1&x");
    expect(seen?.headers.get("x-probe")).toBe("a, b");
    expect(seen?.headers.get("accept")).toBe("text/plain");
    expect(seen?.headers.get("user-agent")).toBe("kube-probe/tulle-test");
  });

  test("goes to the pod, whatever its path says", async () => {
    const urls: string[] = [];
    const port = app((request) => {
      urls.push(new URL(request.url).pathname);
      return new Response();
    });
    for (const path of ["live", "//evil.example.com/a", "http://evil.example.com/b", "/@evil.example.com", undefined]) {
      expect((await said(kubelet(http(port, path === undefined ? {} : { path }))()))[0]).toBe(200);
    }
    expect(urls).toEqual(["/live", "/a", "/http://evil.example.com/b", "/@evil.example.com", "/"]);
  });

  test("takes HTTPS without verifying the certificate", async () => {
    const key = KeyPair.generate();
    const issued = makeAuthority().issueServer({
      spki: key.spki,
      id: parseSpiffeId("spiffe://cluster.local/ns/a/sa/b"),
      dnsNames: ["other"],
      ips: [],
    });
    const cert = issued.chain.map((der) => pemEncode("CERTIFICATE", der)).join("");
    const port = app(() => new Response("secure"), { key: key.privateKeyPem(), cert });
    expect(await said(kubelet(http(port, { scheme: "HTTPS" }))())).toEqual([200, "ok"]);
    expect((await said(kubelet(http(port))()))[0]).toBe(503);
  });

  test("follows redirects on the pod's own address, and no others", async () => {
    let strangers = 0;
    const stranger = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response(String(++strangers)) });
    cleanups.push(() => stranger.stop(true));
    const port = app((request) => {
      const { pathname } = new URL(request.url);
      const to = {
        "/away": `http://127.0.0.1:${stranger.port}/`,
        "/ok": "/fine",
        "/absolute": `http://${ip}:${port}/fine`,
        "/bad": "/broken",
        "/round": "/round",
        "/file": "file:///etc/passwd",
      }[pathname];
      if (to !== undefined) return new Response(null, { status: 302, headers: { location: to } });
      return new Response(null, { status: pathname === "/fine" ? 200 : 500 });
    });
    const got = async (path: string) => said(kubelet(http(port, { path }))());
    expect(await got("/away")).toEqual([200, "ok"]);
    expect(strangers).toBe(0);
    expect(await got("/ok")).toEqual([200, "ok"]);
    expect(await got("/absolute")).toEqual([200, "ok"]);
    expect(await got("/bad")).toEqual([503, "the application answered 500"]);
    expect(await got("/round")).toEqual([503, `${ip}:${port}: stopped after 10 redirects`]);
    expect((await got("/file"))[0]).toBe(200);
  });

  test("fails when nothing listens, when the answer breaks off, and when it takes too long", async () => {
    const closed = await raw((socket) => socket.destroy());
    expect((await said(kubelet(http(closed))()))[0]).toBe(503);
    const cut = await raw((socket) => socket.end("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc"));
    expect((await said(kubelet(http(cut))()))[0]).toBe(503);
    const silent = await raw(() => undefined);
    expect(await said(kubelet(http(silent, {}, 0.2))())).toEqual([503, "no answer within 0.2 s"]);
    const stalled = await raw((socket) => socket.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc"));
    expect(await said(kubelet(http(stalled, {}, 0.2))())).toEqual([503, "no answer within 0.2 s"]);
  });
});

describe("a TCP probe", () => {
  test("succeeds where somebody listens and fails elsewhere", async () => {
    const port = await raw(() => undefined);
    expect(await said(kubelet({ tcpSocket: { port }, port, timeoutSeconds: 5 })())).toEqual([200, "ok"]);
    const [code, text] = await said(kubelet({ tcpSocket: { port: 1 }, port: 1, timeoutSeconds: 5 })());
    expect(code).toBe(503);
    expect(text).toContain("ECONNREFUSED");
  });
});

describe("a gRPC probe", () => {
  const states = new Map([
    ["", 1],
    ["shop.Cart", 1],
    ["shop.Slow", 2],
  ]);
  const server = new GrpcServer();
  const path = "/grpc.health.v1.Health/Check";
  const bytes = (value: Buffer) => value;
  server.addService(
    {
      Check: {
        path,
        requestStream: false,
        responseStream: false,
        requestSerialize: bytes,
        requestDeserialize: bytes,
        responseSerialize: bytes,
        responseDeserialize: bytes,
      },
    },
    {
      Check: (call: { request: Buffer }, answer: (error: object | null, value?: Buffer) => void) => {
        const state = states.get(call.request.subarray(2).toString());
        if (state === undefined) answer({ code: 5, details: "unknown service" });
        else answer(null, Buffer.from([0x08, state]));
      },
    },
  );
  const bound = new Promise<number>((resolve, reject) => {
    server.bindAsync(`${ip}:0`, ServerCredentials.createInsecure(), (error, port) =>
      error ? reject(error) : resolve(port),
    );
  });
  afterAll(() => server.forceShutdown());
  const grpc = async (service?: string | null): Promise<[number, string]> => {
    const port = await bound;
    return said(kubelet({ grpc: { port, ...(service === undefined ? {} : { service }) }, port, timeoutSeconds: 5 })());
  };

  test("succeeds only on SERVING, for the server and for one service", async () => {
    expect(await grpc()).toEqual([200, "ok"]);
    expect(await grpc(null)).toEqual([200, "ok"]);
    expect(await grpc("shop.Cart")).toEqual([200, "ok"]);
    expect((await grpc("shop.Slow"))[1]).toContain("NOT_SERVING");
    expect((await grpc("none"))[1]).toContain("unknown service");
  });

  test("fails on a server that does not speak HTTP/2, is silent, or is not there", async () => {
    const ask = async (port: number, timeoutSeconds = 5) => said(kubelet({ grpc: { port }, port, timeoutSeconds })());
    expect((await ask(await raw((socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"))))[0]).toBe(503);
    expect((await ask(await raw((socket) => socket.destroy())))[0]).toBe(503);
    expect(await ask(await raw(() => undefined), 0.2)).toEqual([503, "no answer within 0.2 s"]);
    expect((await ask(1))[0]).toBe(503);
  });

  test.each([
    ["no stream", [3, 0], "no stream can be opened"],
    ["a shorter head", [6, 2], "passes the peer's limit of 2"],
  ] as const)("says so when the server's SETTINGS allow %s", async (_what, setting, why) => {
    const port = await raw((socket) => socket.write(frames.settings(setting)));
    const [status, text] = await said(kubelet({ grpc: { port }, port, timeoutSeconds: 5 })());
    expect(status).toBe(503);
    expect(text).toContain(why);
  });
});

describe("a lifecycle handler", () => {
  const path = hookPath("app", "prestop");

  test("is a success whatever the application answers", async () => {
    const port = app(() => new Response(null, { status: 500 }));
    expect(await said(kubelet({ httpGet: { port }, port }, path)())).toEqual([200, "ok"]);
  });

  test("that gets no answer gives none: the kubelet counts only that as a failure (Bun needs about 4 s)", async () => {
    const ask = kubelet({ httpGet: { port: 1 }, port: 1 }, path);
    const outcome = await ask().then(
      (answer) => `an answer: ${answer.status}`,
      () => "none",
    );
    expect(outcome).toBe("none");
  });
});

describe("only what is declared", () => {
  test("can be triggered, and only by GET", async () => {
    let asked = 0;
    const port = app(() => new Response(String(++asked)));
    const ask = kubelet(http(port));
    for (const path of [
      "/",
      "/probe",
      "/probe/app",
      "/probe/app/readyz",
      "/probe/app/livez/x",
      "/probe/app%2Flivez",
      "/constructor",
      "/__proto__",
    ]) {
      expect((await ask(path)).status).toBe(404);
    }
    expect((await ask(undefined, { method: "POST" })).status).toBe(405);
    expect(asked).toBe(0);
    expect(await said(ask("/metrics"))).toEqual([200, "metrics"]);
    expect((await ask("/probe/app/livez?port=22&host=evil")).status).toBe(200);
    expect(asked).toBe(1);
  });

  test("once at a time, however many ask", async () => {
    let asked = 0;
    const held = Promise.withResolvers<void>();
    const ask = kubelet(
      http(
        app(async () => {
          asked++;
          await held.promise;
          return new Response();
        }),
      ),
    );
    const answers = Array.from({ length: 20 }, () => ask());
    while (asked === 0) await Bun.sleep(5);
    await Bun.sleep(50);
    held.resolve();
    expect((await Promise.all(answers)).every((one) => one.status === 200)).toBe(true);
    expect(asked).toBe(1);
  });

  test("and what runs ends with its owner", async () => {
    const port = await raw(() => undefined);
    const prober = new AppProber({
      probes: { "/probe/a/livez": http(port, {}, 60) },
      ip,
      clock: systemClock,
      version: "",
    });
    const answer = prober.answer("/probe/a/livez", new Request("http://x/"), { timeout() {} } as never);
    prober[Symbol.dispose]();
    expect((await answer).status).toBe(503);
  });
});

describe("the variable", () => {
  test("is what the injector writes, or the proxy does not start", () => {
    const good: AppProbes = { "/probe/a/livez": { grpc: { port: 1 }, port: 1, timeoutSeconds: 1 } };
    expect(readAppProbes(JSON.stringify(good))).toEqual(good);
    expect(readAppProbes(undefined)).toEqual({});
    for (const bad of [
      "{",
      "[]",
      "1",
      '{"/a":1}',
      '{"/a":{"port":1}}',
      '{"/a":{"grpc":{},"httpGet":{},"port":1}}',
      '{"/a":{"grpc":{},"port":70000}}',
      '{"/a":{"grpc":{},"port":1,"timeoutSeconds":0}}',
    ]) {
      expect(() => readAppProbes(bad)).toThrow(ProxyError);
      expect(() => readAppProbes(bad)).toThrow(ENV.probes);
    }
  });
});
