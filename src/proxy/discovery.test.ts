import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { ENV } from "../mesh/index.ts";
import { ip, workload } from "../testkit/addresses.ts";
import { FakeClock } from "../testkit/fake-clock.ts";
import { FakeOperator, wrap } from "../testkit/fake-operator.ts";
import { IdentityDirectory } from "../testkit/identity-directory.ts";
import { makeAuthority } from "../testkit/loopback-mesh.ts";
import { MemoryLogger } from "../testkit/memory-logger.ts";
import { addressToWire, settingsToWire, TYPE_URLS } from "../wire/index.ts";
import { readConfig } from "./config.ts";
import { Discovery } from "./discovery.ts";
import { GrpcClient } from "./grpc-client.ts";
import { IdentityFiles } from "./identity-files.ts";
import { FOLLOW_LIMIT } from "./resolver.ts";
import type { Route } from "./route.ts";
import { TrustStore } from "./trust.ts";

const authority = makeAuthority();
const middle = { bytes: (length: number) => new Uint8Array(length), fraction: () => 0.5 };

let clock: FakeClock;
let logger: MemoryLogger;
let directory: IdentityDirectory;
let operator: FakeOperator;
let grpc: GrpcClient;
let trust: TrustStore;
let discovery: Discovery;
let changes: number;

beforeEach(async () => {
  clock = new FakeClock();
  logger = new MemoryLogger();
  directory = new IdentityDirectory(authority);
  operator = new FakeOperator(authority);
  await operator.start();
  const config = readConfig(
    {
      [ENV.podName]: "web-1",
      [ENV.podNamespace]: "shop",
      [ENV.podUid]: "uid",
      [ENV.podIps]: "10.0.0.9,fd00::9",
      [ENV.serviceAccount]: "web",
      [ENV.nodeName]: "node-1",
      [ENV.operatorAddress]: `127.0.0.1:${operator.port}`,
    },
    directory.path,
  );
  const files = new IdentityFiles(directory.path);
  trust = new TrustStore(files);
  grpc = new GrpcClient({
    address: config.operator,
    clock,
    roots: async () => (await trust.operatorRoots()).pem(),
    token: () => files.token(),
  });
  changes = 0;
  discovery = new Discovery({
    config,
    version: "test",
    grpc,
    trust,
    clock,
    random: middle,
    logger,
    onChange: () => changes++,
  });
});
afterEach(() => {
  discovery[Symbol.dispose]();
  grpc[Symbol.dispose]();
  operator.stop();
  directory[Symbol.dispose]();
  expect(clock.pending).toBe(0);
});

/** Connected, and settings and bundle have been taken over and acknowledged. */
async function connect(): Promise<void> {
  discovery.start();
  await operator.until(() => operator.requests.filter((request) => request.responseNonce !== "").length >= 2);
}

/** The route as soon as there is one. */
function route(address: string): Promise<Route> {
  return new Promise((resolve) => void discovery.resolver.resolve(ip(address), 80, resolve));
}

function asked(typeUrl: string): string[][] {
  return operator.requests
    .filter((request) => request.typeUrl === typeUrl && request.responseNonce === "")
    .map((request) => [
      ...request.resourceNamesSubscribe.map((name) => `+${name}`),
      ...request.resourceNamesUnsubscribe.map((name) => `-${name}`),
    ]);
}

describe("a stream", () => {
  test("asks for settings and bundle, says once who it is, and acknowledges what came", async () => {
    await connect();
    expect(discovery.settings?.mode).toBe("strict");
    expect(trust.live?.sequence).toBe(1);
    expect(changes).toBe(2);
    const [first, ...rest] = operator.requests;
    expect(first?.node).toEqual({
      id: "sidecar~10.0.0.9~web-1.shop~shop.svc.cluster.local",
      cluster: "",
      metadata: {
        NAME: "web-1",
        NAMESPACE: "shop",
        INSTANCE_IPS: "10.0.0.9,fd00::9",
        NODE_NAME: "node-1",
        TULLE_VERSION: "test",
      },
    });
    expect(rest.every((request) => request.node === undefined)).toBe(true);
    expect(asked(TYPE_URLS.settings)).toEqual([["+default"]]);
    expect(operator.nacks).toEqual([]);
  });

  test("does not open the type of addresses before there is one to ask for: that would mean all of them", async () => {
    await connect();
    expect(asked(TYPE_URLS.address)).toEqual([]);
  });

  test("asks for addresses as they are met, those of one turn in one request", async () => {
    operator.addresses.push({ kind: "workload", workload: workload("a", ["127.0.0.7"]) });
    await connect();
    expect(await route("127.0.0.7")).toMatchObject({ kind: "tunnel" });
    const [second] = [route("192.0.2.1"), route("192.0.2.2"), route("192.0.2.2")];
    expect(await second).toMatchObject({ kind: "plain", reason: "plaintext-external" });
    expect(asked(TYPE_URLS.address)).toEqual([["+/127.0.0.7"], ["+/192.0.2.1", "+/192.0.2.2"]]);
  });
});

test("above the limit of followed addresses the oldest one is given up, and the operator is told", async () => {
  await connect();
  const address = (index: number) => `192.0.${index >> 8}.${index & 255}`;
  await Promise.all(Array.from({ length: FOLLOW_LIMIT }, (_, index) => route(address(index))));
  await route("198.51.100.1");
  expect(asked(TYPE_URLS.address).at(-1)).toEqual(["+/198.51.100.1", `-/${address(0)}`]);
});

describe("a response", () => {
  test("94: with one bad resource is refused by name, and the good ones count", async () => {
    await connect();
    const pending = route("127.0.0.7");
    operator.send(TYPE_URLS.address, [
      wrap("uid-bad", TYPE_URLS.address, Uint8Array.of(0xff), "1"),
      { name: "uid-empty", version: "1", aliases: [], resource: undefined },
      wrap(
        "uid-a",
        TYPE_URLS.address,
        addressToWire({ kind: "workload", workload: workload("a", ["127.0.0.7"]) }),
        "1",
      ),
    ]);
    expect(await pending).toMatchObject({ kind: "tunnel" });
    await operator.until(() => operator.nacks.length === 1);
    expect(operator.nacks[0]).toMatch(/^uid-bad: .*; uid-empty: the resource is empty$/);
  });

  test("with a workload whose identity cannot be a SPIFFE ID is refused: it must not become plaintext", async () => {
    await connect();
    const bad = workload("a", ["127.0.0.7"], { serviceAccount: "not/an/account" });
    operator.send(TYPE_URLS.address, [
      wrap("uid-a", TYPE_URLS.address, addressToWire({ kind: "workload", workload: bad }), "1"),
    ]);
    await operator.until(() => operator.nacks.length === 1);
    expect(discovery.resolver.book.size).toBe(0);
  });

  test("may remove a workload and give its address to another one at once", async () => {
    operator.addresses.push({ kind: "workload", workload: workload("a", ["127.0.0.7"]) });
    await connect();
    await route("127.0.0.7");
    const b = { kind: "workload", workload: workload("b", ["127.0.0.7"]) } as const;
    operator.send(TYPE_URLS.address, [wrap("uid-b", TYPE_URLS.address, addressToWire(b), "2")], ["uid-a"]);
    await operator.until(() => operator.requests.filter((request) => request.responseNonce !== "").length === 4);
    expect(await route("127.0.0.7")).toMatchObject({ peer: "spiffe://cluster.local/ns/shop/sa/b" });
  });

  test("with settings that cannot be used leaves the ones before in force", async () => {
    await connect();
    const loose = settingsToWire({ mode: "permissive", podRanges: ["nonsense"], serviceRanges: [], reissueEpoch: 9 });
    operator.send(TYPE_URLS.settings, [wrap("default", TYPE_URLS.settings, loose, "9")]);
    await operator.until(() => operator.nacks.length === 1);
    expect(discovery.settings).toMatchObject({ mode: "strict", reissueEpoch: 0 });
  });

  test("that removes settings or bundle leaves them in force", async () => {
    await connect();
    operator.send(TYPE_URLS.settings, [], ["default"]);
    operator.send(TYPE_URLS.trustBundle, [], ["default"]);
    await operator.until(() => operator.requests.filter((request) => request.responseNonce !== "").length === 4);
    expect([discovery.settings?.mode, trust.live?.sequence]).toEqual(["strict", 1]);
  });

  test("with a bundle that cannot be used leaves the one before in force", async () => {
    await connect();
    operator.send(TYPE_URLS.trustBundle, [wrap("default", TYPE_URLS.trustBundle, new Uint8Array(0), "9")]);
    await operator.until(() => operator.nacks.length === 1);
    expect(trust.live?.sequence).toBe(1);
  });
});

describe("a stream that ends", () => {
  test("is opened again with the names that are followed and the versions of what is held", async () => {
    operator.addresses.push({ kind: "workload", workload: workload("a", ["127.0.0.7"]) });
    await connect();
    await route("127.0.0.7");
    await route("192.0.2.1");
    operator.cut();
    await logger.nth("discovery is away", 1);
    expect(discovery.connected).toBe(false);
    const before = operator.requests.length;
    clock.advance(500);
    await logger.nth("discovery connected", 2);
    await operator.until(() =>
      operator.requests.slice(before).some((request) => request.typeUrl === TYPE_URLS.address),
    );
    const again = operator.requests.slice(before).filter((request) => request.responseNonce === "");
    expect(again.map((request) => [request.typeUrl, request.resourceNamesSubscribe])).toEqual([
      [TYPE_URLS.settings, ["default"]],
      [TYPE_URLS.trustBundle, ["default"]],
      [TYPE_URLS.address, ["/127.0.0.7", "/192.0.2.1"]],
    ]);
    expect([...(again[2]?.initialResourceVersions.keys() ?? [])]).toEqual(["uid-a"]);
    expect(again[0]?.initialResourceVersions.get("default")).toBeString();
    expect(again[0]?.node).toBeDefined();
  });

  test("takes nothing with it: what was known is known", async () => {
    operator.addresses.push({ kind: "workload", workload: workload("a", ["127.0.0.7"]) });
    await connect();
    await route("127.0.0.7");
    operator.cut();
    await logger.nth("discovery is away", 1);
    expect(await route("127.0.0.7")).toMatchObject({ kind: "tunnel" });
    expect(discovery.settings?.mode).toBe("strict");
  });

  test("right after each answer is opened again ever more slowly, up to 15 s", async () => {
    discovery.start();
    const waits: unknown[] = [];
    for (let times = 1; times <= 7; times++) {
      await logger.nth("discovery connected", times);
      operator.cut();
      const { fields } = await logger.nth("discovery is away", times);
      waits.push(fields["retryInMillis"]);
      clock.advance(Number(fields["retryInMillis"]));
    }
    expect(waits).toEqual([500, 1000, 2000, 4000, 8000, 15_000, 15_000]);
    await logger.nth("discovery connected", 8);
    clock.advance(15_000);
    operator.cut();
    expect((await logger.nth("discovery is away", 8)).fields["retryInMillis"]).toBe(500);
  });

  test("because it was not answered within 15 s is opened again on a new connection: another replica may answer", async () => {
    operator.mute = true;
    discovery.start();
    await operator.until(() => operator.requests.length === 2);
    clock.advance(15_000);
    const { fields } = await logger.nth("discovery is away", 1);
    operator.mute = false;
    clock.advance(Number(fields["retryInMillis"]));
    await logger.nth("discovery connected", 1);
    expect(new Set(operator.peers).size).toBe(2);
  });
});

test("without an operator the attempts back off and say why", async () => {
  operator.stop();
  discovery.start();
  const { fields } = await logger.nth("discovery is away", 1);
  expect(fields).toMatchObject({ retryInMillis: 500 });
  expect(String(fields["error"])).toContain("connect: ECONNREFUSED");
  clock.advance(500);
  expect((await logger.nth("discovery is away", 2)).fields["retryInMillis"]).toBe(1000);
});
