import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { Authority, KeyPair, parseSpiffeId, parseTrustDomain, pemDecode, pemEncode } from "../identity/index.ts";
import { FakeClock } from "../testkit/fake-clock.ts";
import { IdentityDirectory } from "../testkit/identity-directory.ts";
import { MemoryLogger } from "../testkit/memory-logger.ts";
import { SeededRandom } from "../testkit/seeded-random.ts";
import { CertificateStore } from "./certificates.ts";
import { IdentityFiles } from "./identity-files.ts";
import { Metrics } from "./metrics.ts";
import { TrustStore } from "./trust.ts";

const ID = parseSpiffeId("spiffe://cluster.local/ns/shop/sa/web");
const HOUR = 3_600_000;
const DAY = 24 * HOUR;

const ISSUED = "certificate issued";
const FAILED = "certificate request failed";

let clock: FakeClock;
let fraction: number;
let authority: Authority;
let directory: IdentityDirectory;
let trust: TrustStore;
let logger: MemoryLogger;
let metrics: Metrics;
let epoch: number;
let requests: string[];
/** What the operator answers. */
let operator: (csrPem: string) => readonly string[] | Promise<readonly string[]>;
let store: CertificateStore;

beforeEach(() => {
  clock = new FakeClock();
  fraction = 0.5;
  authority = Authority.create({
    trustDomain: parseTrustDomain("cluster.local"),
    clock,
    random: new SeededRandom(),
  });
  directory = new IdentityDirectory(authority);
  trust = new TrustStore(new IdentityFiles(directory.path));
  trust.apply(authority.bundle());
  logger = new MemoryLogger();
  metrics = new Metrics();
  epoch = 0;
  requests = [];
  operator = issue;
  store = new CertificateStore({
    id: ID,
    request: async (csr) => {
      requests.push(csr);
      return operator(csr);
    },
    trust,
    epoch: () => epoch,
    clock,
    random: { bytes: (length) => new Uint8Array(length), fraction: () => fraction },
    logger,
    metrics,
    onIssued: () => undefined,
  });
});
afterEach(() => {
  store[Symbol.dispose]();
  directory[Symbol.dispose]();
});

function issue(csrPem: string, id = ID, lifetime = DAY): string[] {
  const [csr] = pemDecode("CERTIFICATE REQUEST", csrPem);
  if (csr === undefined) throw new Error("no CSR");
  const { chain } = authority.issueWorkload({ csr, id, podUid: "uid", lifetime });
  return [...chain.map((der) => pemEncode("CERTIFICATE", der)), authority.bundle().pem()];
}

function refuse(): never {
  throw new Error("the operator is away");
}

async function start(): Promise<void> {
  store.start();
  await logger.nth(ISSUED, 1);
}

/** Moves the clock in steps of a minute until a request goes out; answers how long that took. */
function untilAsked(limit: number): number | undefined {
  const [begun, before] = [clock.now(), requests.length];
  while (clock.now() - begun < limit) {
    clock.advance(60_000);
    if (requests.length > before) return clock.now() - begun;
  }
  return undefined;
}

describe("renewal", () => {
  test.each([
    [0, 0.33],
    [0.999, 0.5],
  ])("is due between 33 and 50 %% of the lifetime (drawn: %d), with a new key", async (drawn, share) => {
    fraction = drawn;
    await start();
    const key = store.current()?.key;
    expect((untilAsked(DAY) ?? 0) / DAY).toBeCloseTo(share, 2);
    await logger.nth(ISSUED, 2);
    expect(store.current()?.key).not.toBe(key as never);
  });

  test("comes in time although the clock jumped ahead: it is read at least every 30 s", async () => {
    await start();
    clock.step(clock.now() + 20 * HOUR);
    clock.advance(30_000);
    expect(requests).toHaveLength(2);
  });

  test("is not stretched by a clock that was set back: the certificate keeps its moment of the wall clock", async () => {
    await start();
    const issuedAt = clock.now();
    clock.step(issuedAt - 5 * HOUR);
    expect(untilAsked(2 * DAY)).toBeGreaterThan(5 * HOUR);
    expect(clock.now() - issuedAt).toBeLessThan(DAY / 2);
  });

  test("one request at a time, however often it is asked for", async () => {
    const answer = Promise.withResolvers<readonly string[]>();
    operator = () => answer.promise;
    for (let i = 0; i < 5; i++) store.start();
    expect(requests).toHaveLength(1);
    answer.resolve(issue(requests[0] ?? ""));
    await logger.nth(ISSUED, 1);
    store.start();
    expect(requests).toHaveLength(1);
  });
});

describe("a raised reissue epoch", () => {
  test("forces one renewal within 2 s, spread by chance, and no second one", async () => {
    await start();
    epoch = 1;
    store.start();
    clock.advance(999);
    expect(requests).toHaveLength(1);
    clock.advance(1);
    expect(requests).toHaveLength(2);
    await logger.nth(ISSUED, 2);
    expect(store.certificate?.epoch).toBe(1);
    store.start();
    clock.advance(HOUR);
    expect(requests).toHaveLength(2);
  });

  test("that rises while a request is under way forces another one", async () => {
    await start();
    epoch = 1;
    const answer = Promise.withResolvers<readonly string[]>();
    operator = () => answer.promise;
    store.start();
    clock.advance(1000);
    epoch = 2;
    operator = issue;
    answer.resolve(issue(requests[1] ?? ""));
    await logger.nth(ISSUED, 2);
    expect(store.certificate?.epoch).toBe(1);
    clock.advance(2000);
    await logger.nth(ISSUED, 3);
    expect(store.certificate?.epoch).toBe(2);
  });
});

describe("44: while the operator is away", () => {
  test("the valid certificate stays in use and the attempts back off from 0.5 s to 150 s", async () => {
    await start();
    const before = store.current();
    operator = refuse;
    untilAsked(DAY);
    const waits: unknown[] = [];
    for (let failures = 1; failures <= 11; failures++) {
      const { fields } = await logger.nth(FAILED, failures);
      waits.push(fields["retryInMillis"]);
      clock.advance(Number(fields["retryInMillis"]));
    }
    expect(waits.slice(0, 4)).toEqual([500, 1000, 2000, 4000]);
    expect(waits[10]).toBe(150_000);
    expect(store.current()).toBe(before as never);
    expect(metrics.issueFailures).toBe(11);
  });

  test("nothing is presented once it expired, and the attempts go on until there is a new one", async () => {
    await start();
    operator = refuse;
    untilAsked(DAY);
    await logger.nth(FAILED, 1);
    clock.step(store.certificate?.notAfter ?? 0);
    expect(store.current()).toBeUndefined();
    operator = issue;
    clock.advance(30_000);
    await logger.nth(ISSUED, 2);
    expect(store.current()).toBeDefined();
  });

  test("a clock that is set back does not stretch the back-off", async () => {
    operator = refuse;
    store.start();
    await logger.nth(FAILED, 1);
    clock.step(clock.now() - DAY);
    clock.advance(30_000);
    expect(requests).toHaveLength(2);
  });
});

describe("an answer of the operator is refused, and the valid certificate stays,", () => {
  const other = parseSpiffeId("spiffe://cluster.local/ns/shop/sa/other");

  async function refused(answer: typeof operator): Promise<string> {
    await start();
    const before = store.current();
    operator = answer;
    untilAsked(DAY);
    const { fields } = await logger.nth(FAILED, 1);
    expect(store.current()).toBe(before as never);
    expect(metrics).toMatchObject({ issued: 1, issueFailures: 1 });
    return String(fields["error"]);
  }

  test("when it names another identity", async () => {
    const answer = (csr: string) => {
      const [der] = pemDecode("CERTIFICATE REQUEST", csr);
      const key = KeyPair.generate();
      if (der === undefined) throw new Error("no CSR");
      const { chain } = authority.issueServer({ spki: key.spki, id: other, dnsNames: [], ips: [] });
      return [...chain.map((one) => pemEncode("CERTIFICATE", one)), authority.bundle().pem()];
    };
    expect(await refused(answer)).toContain(`for ${other}, not for ${ID}`);
  });

  test("when it is for another key", async () => {
    const answer = () => {
      const { chain } = authority.issueServer({ spki: KeyPair.generate().spki, id: ID, dnsNames: [], ips: [] });
      return [...chain.map((one) => pemEncode("CERTIFICATE", one)), authority.bundle().pem()];
    };
    expect(await refused(answer)).toContain("another key");
  });

  test("when no root of ours vouches for it", async () => {
    const foreign = Authority.create({ trustDomain: authority.trustDomain, clock, random: new SeededRandom(7) });
    const answer = (csr: string) => {
      const [der] = pemDecode("CERTIFICATE REQUEST", csr);
      if (der === undefined) throw new Error("no CSR");
      const { chain } = foreign.issueWorkload({ csr: der, id: ID, podUid: "uid" });
      return [...chain.map((one) => pemEncode("CERTIFICATE", one)), foreign.bundle().pem()];
    };
    expect(await refused(answer)).toContain("vouches");
  });

  test("when it is expired", async () => {
    const answer = async (csr: string) => {
      const issued = issue(csr, ID, 600_000);
      await Promise.resolve();
      clock.step(clock.now() + HOUR);
      return issued;
    };
    expect(await refused(answer)).toContain("expired");
  });

  test.each([[[]], [["nonsense"]], [["nonsense", "nonsense"]], [["", ""]]])(
    "when it is no chain: %j",
    async (answer) => {
      expect(await refused(() => answer)).not.toBe("");
    },
  );
});

describe("what a handshake gets", () => {
  test("is one object for each certificate and bundle, and has the new bundle at once", async () => {
    await start();
    const before = store.current();
    expect(store.current()).toBe(before as never);
    const second = Authority.create({ trustDomain: authority.trustDomain, clock, random: new SeededRandom(9) });
    trust.apply({ sequence: 2, roots: [...authority.bundle().roots, ...second.bundle().roots] });
    expect(store.current()).toMatchObject({ cert: before?.cert ?? "", ca: trust.pem });
  });

  test("is a chain of leaf and intermediate, without the root", async () => {
    await start();
    expect(pemDecode("CERTIFICATE", store.current()?.cert ?? "")).toHaveLength(2);
  });
});

test("disposed, it asks no more, leaves no timer and takes no late answer", async () => {
  const answer = Promise.withResolvers<readonly string[]>();
  operator = () => answer.promise;
  store.start();
  store[Symbol.dispose]();
  answer.resolve(issue(requests[0] ?? ""));
  // An answer is judged after files were read: give it the time that a taken one needs.
  await trust.operatorRoots();
  await Bun.sleep(1);
  expect(store.certificate).toBeUndefined();
  expect(clock.pending).toBe(0);
  expect(requests).toHaveLength(1);
});

test("no log line holds a key or a token", async () => {
  await start();
  operator = refuse;
  untilAsked(DAY);
  await logger.nth(FAILED, 1);
  expect(JSON.stringify(logger.lines)).not.toContain("PRIVATE");
});
