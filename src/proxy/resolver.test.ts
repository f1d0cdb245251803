import { beforeEach, describe, expect, test } from "bun:test";
import type { Ip, Workload } from "../mesh/index.ts";
import { ip, workload } from "../testkit/addresses.ts";
import { FakeClock } from "../testkit/fake-clock.ts";
import { SeededRandom } from "../testkit/seeded-random.ts";
import { Ranges } from "./ranges.ts";
import { INSIDE_WAIT, OUTSIDE_WAIT, Resolver } from "./resolver.ts";
import type { Route } from "./route.ts";

const POD = "10.244.0.7";
const VIP = "10.96.0.7";
const OUTSIDE = "192.0.2.7";

let clock: FakeClock;
let session: number | undefined;
let asked: string[];
let resolver: Resolver;
beforeEach(() => {
  clock = new FakeClock();
  session = 1;
  asked = [];
  resolver = make();
});

function make(limit?: number): Resolver {
  const made = new Resolver(
    clock,
    new SeededRandom(),
    {
      get session() {
        return session;
      },
      subscribe: (one) => asked.push(`+${one}`),
      unsubscribe: (one) => asked.push(`-${one}`),
    },
    limit,
  );
  made.setRanges(new Ranges({ podRanges: ["10.244.0.0/16"], serviceRanges: ["10.96.0.0/16"] }));
  return made;
}

/** The route, once there is one. */
function resolve(address: string, port = 80): { route: Route | undefined; after: number | undefined } {
  const begun = clock.now();
  const answer: { route: Route | undefined; after: number | undefined } = { route: undefined, after: undefined };
  resolver.resolve(ip(address), port, (route) => {
    if (answer.route !== undefined) throw new Error("a second route");
    answer.route = route;
    answer.after = clock.now() - begun;
  });
  return answer;
}

function known(what: Workload): void {
  resolver.answered(resolver.book.set(what.uid, "1", { kind: "workload", workload: what }));
}

function absent(...addresses: string[]): void {
  const ips: Ip[] = addresses.map(ip);
  for (const one of ips) resolver.book.deleteAt(one);
  resolver.answered(ips);
}

describe("an address that discovery knows", () => {
  test("a meshed one is tunnelled as soon as the answer comes", () => {
    const answer = resolve(POD);
    expect(asked).toEqual([`+${POD}`]);
    expect(answer.route).toBeUndefined();
    clock.advance(100);
    known(workload("a", [POD]));
    expect(answer).toMatchObject({ route: { kind: "tunnel", ip: POD }, after: 100 });
    expect(clock.pending).toBe(0);
  });

  test("a known unmeshed one gets plaintext", () => {
    const answer = resolve(POD);
    known(workload("a", [POD], { tunnel: "none" }));
    expect(answer.route).toMatchObject({ kind: "plain", reason: "plaintext-unmeshed" });
  });

  test("the second time there is no wait, also while the operator is away", () => {
    resolve(POD);
    known(workload("a", [POD]));
    session = undefined;
    expect(resolve(POD)).toMatchObject({ route: { kind: "tunnel" }, after: 0 });
    expect(asked).toEqual([`+${POD}`]);
  });
});

describe("an address that discovery says nobody has", () => {
  test("passes outside the mesh's ranges and inside a service range", () => {
    const answers = [resolve(OUTSIDE), resolve(VIP)];
    absent(OUTSIDE, VIP);
    for (const { route } of answers) expect(route).toMatchObject({ kind: "plain", reason: "plaintext-external" });
    expect(clock.pending).toBe(0);
  });

  test("waits inside a pod range for a new pod, which is then found", () => {
    const answer = resolve(POD);
    absent(POD);
    clock.advance(INSIDE_WAIT - 1);
    expect(answer.route).toBeUndefined();
    known(workload("new", [POD]));
    expect(answer.route).toMatchObject({ kind: "tunnel" });
  });

  test("fails inside a pod range when none comes within 5 s", () => {
    const answer = resolve(POD);
    absent(POD);
    clock.advance(INSIDE_WAIT);
    expect(answer).toMatchObject({
      route: { kind: "refuse", reason: "failed-discovery", detail: "no such pod" },
      after: 5000,
    });
    expect(clock.pending).toBe(0);
  });

  test("an old word of absence is no answer inside the ranges while the operator is away: a service may be there by now", () => {
    resolve(VIP);
    absent(VIP);
    session = undefined;
    const answer = resolve(VIP);
    clock.advance(INSIDE_WAIT);
    expect(answer.route).toMatchObject({ kind: "refuse", reason: "failed-discovery" });
  });
});

test("an answer of an earlier stream counts outside the ranges only", () => {
  for (const address of [VIP, OUTSIDE]) {
    resolve(address);
    absent(address);
  }
  session = 2;
  const [inside, outside] = [resolve(VIP), resolve(OUTSIDE)];
  expect(outside).toMatchObject({ route: { kind: "plain" }, after: 0 });
  expect(inside.route).toBeUndefined();
  absent(VIP);
  expect(inside.route).toMatchObject({ kind: "plain", reason: "plaintext-external" });
});

describe("an address for which no answer comes", () => {
  test("passes outside the ranges after 1 s", () => {
    const answer = resolve(OUTSIDE);
    clock.advance(OUTSIDE_WAIT - 1);
    expect(answer.route).toBeUndefined();
    clock.advance(1);
    expect(answer).toMatchObject({ route: { kind: "plain", reason: "plaintext-external" }, after: 1000 });
  });

  test("passes outside the ranges at once while the operator is away", () => {
    session = undefined;
    expect(resolve(OUTSIDE)).toMatchObject({ route: { kind: "plain", reason: "plaintext-external" }, after: 0 });
  });

  test.each([POD, VIP])("fails inside the ranges after 5 s (%s), connected or not", (address) => {
    for (const state of [1, undefined]) {
      session = state;
      const answer = resolve(address);
      clock.advance(INSIDE_WAIT - 1);
      expect(answer.route).toBeUndefined();
      clock.advance(1);
      expect(answer.route).toEqual({ kind: "refuse", reason: "failed-discovery", detail: "discovery did not answer" });
    }
  });

  test("is answered late by discovery for the next one", () => {
    resolve(POD);
    clock.advance(INSIDE_WAIT);
    known(workload("a", [POD]));
    expect(resolve(POD)).toMatchObject({ route: { kind: "tunnel" }, after: 0 });
  });
});

describe("who waits", () => {
  test("many for one address are one question and one answer each", () => {
    const answers = Array.from({ length: 100 }, () => resolve(POD));
    expect(asked).toEqual([`+${POD}`]);
    known(workload("a", [POD]));
    expect(answers.every(({ route }) => route?.kind === "tunnel")).toBe(true);
    expect(clock.pending).toBe(0);
  });

  test("waits no more once it gave up", () => {
    let called = false;
    const wait = resolver.resolve(ip(POD), 80, () => {
      called = true;
    });
    wait?.[Symbol.dispose]();
    expect(clock.pending).toBe(0);
    known(workload("a", [POD]));
    expect(called).toBe(false);
  });
});

describe("the set of followed addresses", () => {
  test("gives up the least recently used one above the limit, and what only it kept", () => {
    resolver = make(2);
    for (const [index, address] of ["10.244.0.1", "10.244.0.2"].entries()) {
      resolve(address);
      known(workload(`w${index}`, [address]));
    }
    resolve("10.244.0.1");
    resolve("10.244.0.3");
    expect(asked.slice(2)).toEqual(["+10.244.0.3", "-10.244.0.2"]);
    expect(resolver.followed()).toEqual([ip("10.244.0.1"), ip("10.244.0.3")]);
    expect(resolver.book.at(ip("10.244.0.2"))).toBeUndefined();
    expect(resolver.size).toBe(2);
  });

  test("never gives up one that somebody waits for", () => {
    resolver = make(1);
    const answer = resolve("10.244.0.1");
    resolve("10.244.0.2");
    expect(resolver.size).toBe(2);
    known(workload("a", ["10.244.0.1"]));
    expect(answer.route).toMatchObject({ kind: "tunnel" });
  });

  test("keeps what is known while the operator is away: it could not be asked for again", () => {
    resolver = make(1);
    resolve("10.244.0.1");
    known(workload("a", ["10.244.0.1"]));
    session = undefined;
    resolve(OUTSIDE);
    expect(resolver.book.at(ip("10.244.0.1"))).toBeDefined();
    expect(resolver.followed()).toContain(ip("10.244.0.1"));
  });
});
