import { beforeEach, describe, expect, test } from "bun:test";
import type { MeshService, Workload } from "../mesh/index.ts";
import { endpointOf, ip, service, workload } from "../testkit/addresses.ts";
import { SeededRandom } from "../testkit/seeded-random.ts";
import { addressName } from "../wire/index.ts";
import { AddressBook } from "./address-book.ts";
import { type Route, routeTo } from "./route.ts";

const random = new SeededRandom();
let book: AddressBook;
beforeEach(() => {
  book = new AddressBook();
});

function put(what: Workload | MeshService): void {
  const address =
    "uid" in what ? ({ kind: "workload", workload: what } as const) : ({ kind: "service", service: what } as const);
  book.set(addressName(address), "1", address);
}

function route(address: string, port: number): Route | undefined {
  return routeTo(book, ip(address), port, random);
}

describe("to a workload's own address", () => {
  test("a meshed one is reached by a tunnel to its SPIFFE ID", () => {
    put(workload("a", ["10.0.0.1"]));
    expect(route("10.0.0.1", 80)).toMatchObject({
      kind: "tunnel",
      peer: "spiffe://cluster.local/ns/shop/sa/a",
      ip: "10.0.0.1",
      port: 80,
    });
  });

  test("a known unmeshed one gets plaintext, and it is called so", () => {
    put(workload("a", ["10.0.0.1"], { tunnel: "none" }));
    expect(route("10.0.0.1", 80)).toEqual({
      kind: "plain",
      reason: "plaintext-unmeshed",
      ip: ip("10.0.0.1"),
      port: 80,
    });
  });

  test("an unhealthy one is still reached there: the application named it", () => {
    put(workload("a", ["10.0.0.1"], { healthy: false }));
    expect(route("10.0.0.1", 80)).toMatchObject({ kind: "tunnel" });
  });

  test("an unknown one has no route", () => {
    expect(route("10.0.0.1", 80)).toBeUndefined();
  });
});

describe("to a service", () => {
  const web = service("web", ["10.96.0.1", "fd00:96::1"]);

  test("goes to an endpoint at its target port", () => {
    put(web);
    put(workload("a", ["10.0.0.1"], { services: endpointOf(web) }));
    expect(route("10.96.0.1", 80)).toMatchObject({ kind: "tunnel", ip: "10.0.0.1", port: 8080 });
  });

  test("30: takes the endpoint's address of the same family, and another where it has none (linkerd2#12733)", () => {
    put(web);
    put(workload("a", ["10.0.0.1", "fd00::1"], { services: endpointOf(web) }));
    expect(route("fd00:96::1", 80)).toMatchObject({ ip: "fd00::1" });
    expect(route("10.96.0.1", 80)).toMatchObject({ ip: "10.0.0.1" });
    put(workload("a", ["10.0.0.1"], { services: endpointOf(web) }));
    expect(route("fd00:96::1", 80)).toMatchObject({ ip: "10.0.0.1" });
  });

  test("30: prefers endpoints that have an address of its family, loaded as they may be", () => {
    put(web);
    put(workload("four", ["10.0.0.1"], { services: endpointOf(web) }));
    put(workload("six", ["fd00::1"], { services: endpointOf(web) }));
    for (const known of book.endpointsOf(web)) if (known.workload.name === "four") known.load.active = 9;
    for (let i = 0; i < 20; i++) {
      expect(route("10.96.0.1", 80)).toMatchObject({ ip: "10.0.0.1" });
      expect(route("fd00:96::1", 80)).toMatchObject({ ip: "fd00::1" });
    }
  });

  test("an unmeshed endpoint gets plaintext", () => {
    put(web);
    put(workload("a", ["10.0.0.1"], { services: endpointOf(web), tunnel: "none" }));
    expect(route("10.96.0.1", 80)).toMatchObject({
      kind: "plain",
      reason: "plaintext-unmeshed",
      ip: "10.0.0.1",
      port: 8080,
    });
  });

  test("never passes without a usable endpoint: none, unhealthy, without an address", () => {
    const refusal = { kind: "refuse", reason: "failed-no-endpoint" };
    put(web);
    expect(route("10.96.0.1", 80)).toMatchObject({
      ...refusal,
      detail: "no endpoint of web.shop.svc.cluster.local takes connections",
    });
    put(workload("a", ["10.0.0.1"], { services: endpointOf(web), healthy: false }));
    put(workload("b", [], { services: endpointOf(web) }));
    expect(route("10.96.0.1", 80)).toMatchObject(refusal);
  });

  test("a port that the service does not have is refused with its name", () => {
    put(web);
    put(workload("a", ["10.0.0.1"], { services: endpointOf(web) }));
    expect(route("10.96.0.1", 81)).toMatchObject({
      kind: "refuse",
      detail: "web.shop.svc.cluster.local has no port 81",
    });
  });

  test("of two endpoints the one with fewer connections is taken, and over time all are", () => {
    put(web);
    for (const [index, name] of ["a", "b"].entries())
      put(workload(name, [`10.0.0.${index + 1}`], { services: endpointOf(web) }));
    const [busy] = book.endpointsOf(web);
    if (busy !== undefined) busy.load.active = 1;
    for (let i = 0; i < 20; i++) expect(route("10.96.0.1", 80)).toMatchObject({ ip: "10.0.0.2" });
    for (const name of ["c", "d", "e"])
      put(workload(name, [`10.0.0.${name}`.replace(name, `${name.charCodeAt(0)}`)], { services: endpointOf(web) }));
    const seen = new Set<string>();
    for (let i = 0; i < 200; i++) {
      const taken = route("10.96.0.1", 80);
      if (taken?.kind === "tunnel") seen.add(taken.ip);
    }
    expect([...seen].sort()).toEqual(["10.0.0.100", "10.0.0.101", "10.0.0.2", "10.0.0.99"]);
  });
});
