import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { parseTrustDomain } from "../../identity/index.ts";
import { KubeClient } from "../../kube/index.ts";
import { FakeApiServer } from "../../testkit/fake-api-server.ts";
import { FakeClock } from "../../testkit/fake-clock.ts";
import { MemoryLogger } from "../../testkit/memory-logger.ts";
import { SeededRandom } from "../../testkit/seeded-random.ts";
import { ClusterError } from "../errors.ts";
import { CA_KEY, CA_SECRET, CaStore } from "./ca-store.ts";
import { CaGuard } from "./guard.ts";

const SECRETS = "/api/v1/secrets";
const MAPS = "/api/v1/configmaps";
const SYSTEM = "tulle-system";

let server: FakeApiServer;
let client: KubeClient;
const clock = new FakeClock(Date.parse("2026-06-01T00:00:00Z"));

beforeEach(async () => {
  server = await FakeApiServer.start();
  client = new KubeClient({ connection: server.connection(), clock, agent: "tulle/test" });
});
afterEach(async () => {
  client[Symbol.dispose]();
  await server[Symbol.asyncDispose]();
});

const store = (seed = 1) =>
  new CaStore({
    client,
    namespace: SYSTEM,
    logger: new MemoryLogger(),
    authority: { trustDomain: parseTrustDomain("cluster.local"), clock, random: new SeededRandom(seed) },
  });
const problem = async (opening: Promise<unknown>): Promise<ClusterError> => {
  const error = await opening.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof ClusterError) return error;
  throw new Error(`not refused: ${String(error)}`);
};
const publish = (pem: string) =>
  server.storage.create(MAPS, SYSTEM, {
    metadata: { name: "tulle-trust-bundle" },
    data: { "root-cert.pem": pem },
  } as never);
const edit = (text: string) =>
  server.storage.update(SECRETS, SYSTEM, CA_SECRET, {
    metadata: { name: CA_SECRET },
    data: { [CA_KEY]: Buffer.from(text).toString("base64") },
  } as never);

describe("the first start", () => {
  test("makes one authority, and the next one finds it", async () => {
    const made = await store().open();
    const found = await store(2).open();
    expect(found.rootKeyId).toBe(made.rootKeyId);
    expect(found.bundle().pem()).toBe(made.bundle().pem());
  });

  test("of many replicas at once makes one: who loses the race adopts it", async () => {
    const authorities = await Promise.all(Array.from({ length: 8 }, (_, index) => store(index + 1).open()));
    expect(new Set(authorities.map((one) => one.rootKeyId)).size).toBe(1);
  });

  test("finds the bundle of a replica that was a moment faster, and no mystery in it", async () => {
    let asked = 0;
    server.intercept = async (request) => {
      if (request.path.endsWith(`/secrets/${CA_SECRET}`) && ++asked === 1) {
        server.intercept = () => undefined;
        const winner = await store(9).open();
        publish(winner.bundle().pem());
        return { status: 404, body: { kind: "Status", reason: "NotFound", code: 404, message: "not found" } } as never;
      }
      return undefined;
    };
    expect((await store(1).open()).rootKeyId).toBe((await store(2).open()).rootKeyId);
  });
});

describe("a store that is not as it was left", () => {
  test("missing while a bundle is published: refused with the way back, and no second root is made", async () => {
    const made = await store().open();
    publish(made.bundle().pem());
    const text = made.stored();
    server.storage.delete(SECRETS, SYSTEM, CA_SECRET);
    const refused = await problem(store(2).open());
    expect(refused.code).toBe("ca-store-missing");
    expect(refused.hint).toContain("from a backup");
    expect(() => server.storage.get(SECRETS, SYSTEM, CA_SECRET)).toThrow("not found");
    server.storage.create(SECRETS, SYSTEM, {
      metadata: { name: CA_SECRET },
      data: { [CA_KEY]: Buffer.from(text).toString("base64") },
    } as never);
    expect((await store(3).open()).rootKeyId).toBe(made.rootKeyId);
  });

  test.each([
    ["empty", () => ""],
    ["truncated", (text: string) => text.slice(0, 500)],
    ["edited", (text: string) => text.replace('"sequence": 1', '"sequence": 2')],
    ["another mesh's", () => "{}"],
  ])("%s: refused with the way back, and left as it is", async (_what, change) => {
    const made = await store().open();
    edit(change(made.stored()));
    const before = JSON.stringify(server.storage.get(SECRETS, SYSTEM, CA_SECRET));
    const refused = await problem(store(2).open());
    expect(refused.code).toBe("ca-store-changed");
    expect(refused.hint).toContain("from a backup");
    expect(JSON.stringify(server.storage.get(SECRETS, SYSTEM, CA_SECRET))).toBe(before);
  });

  test("changed under a running operator: the guard stops the signing, and lets it go on when all is well again", async () => {
    const logger = new MemoryLogger();
    const authority = await store().open();
    const text = authority.stored();
    using guard = new CaGuard(store(), authority, clock, logger);
    await guard.look();
    expect(guard.problem).toBeUndefined();
    edit(text.slice(0, 100));
    await guard.look();
    expect(guard.problem?.code).toBe("ca-store-changed");
    server.storage.delete(SECRETS, SYSTEM, CA_SECRET);
    await guard.look();
    expect(guard.problem?.code).toBe("ca-store-missing");
    server.intercept = () => ({ status: 503 }) as never;
    await guard.look();
    expect(guard.problem?.code).toBe("ca-store-missing");
    server.intercept = () => undefined;
    server.storage.create(SECRETS, SYSTEM, {
      metadata: { name: CA_SECRET },
      data: { [CA_KEY]: Buffer.from(text).toString("base64") },
    } as never);
    await guard.look();
    expect(guard.problem).toBeUndefined();
    expect(logger.of("nothing is signed any more")).toHaveLength(2);
  });
});

test("an API server that cannot be asked is no missing store", async () => {
  server.intercept = () => ({ status: 503, body: { kind: "Status", code: 503, message: "down" } }) as never;
  await expect(store().open()).rejects.toMatchObject({ code: "unavailable" });
});
