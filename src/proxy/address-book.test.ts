import { beforeEach, describe, expect, test } from "bun:test";
import type { MeshService, Workload } from "../mesh/index.ts";
import { endpointOf, ip, service, workload } from "../testkit/addresses.ts";
import { addressName } from "../wire/index.ts";
import { AddressBook } from "./address-book.ts";

let book: AddressBook;
beforeEach(() => {
  book = new AddressBook();
});

function put(what: Workload | MeshService, version = "1"): readonly string[] {
  const address =
    "uid" in what ? ({ kind: "workload", workload: what } as const) : ({ kind: "service", service: what } as const);
  return book.set(addressName(address), version, address);
}

function nameAt(address: string): string | undefined {
  const entry = book.at(ip(address));
  return entry?.kind === "workload" ? entry.known.workload.name : entry?.service.name;
}

describe("addresses", () => {
  test("finds a workload by each of its addresses and a service by each virtual one", () => {
    put(workload("a", ["10.0.0.1", "fd00::1"]));
    put(service("web", ["10.96.0.1", "fd00:96::1"]));
    expect(["10.0.0.1", "fd00::1", "10.96.0.1", "fd00:96::1", "10.0.0.2"].map(nameAt)).toEqual([
      "a",
      "a",
      "web",
      "web",
      undefined,
    ]);
  });

  test("a new version takes the place of the old one, tells of both their addresses and keeps the load", () => {
    put(workload("a", ["10.0.0.1"]));
    const before = book.at(ip("10.0.0.1"));
    if (before?.kind === "workload") before.known.load.active = 3;
    expect(put(workload("a", ["10.0.0.2"]), "2")).toEqual(["10.0.0.2", "10.0.0.1"]);
    expect(nameAt("10.0.0.1")).toBeUndefined();
    const after = book.at(ip("10.0.0.2"));
    expect(after?.kind === "workload" && after.known.load.active).toBe(3);
    expect([...book.versions()]).toEqual([["uid-a", "2"]]);
  });

  test("an address passes to the workload that was told of last, and stays there when the first one goes", () => {
    put(workload("a", ["10.0.0.1"]));
    put(workload("b", ["10.0.0.1"]));
    expect(nameAt("10.0.0.1")).toBe("b");
    expect(book.delete("uid-a")).toEqual([ip("10.0.0.1")]);
    expect(nameAt("10.0.0.1")).toBe("b");
  });

  test("an address that a late word of the first workload took goes back to the second when the first one goes", () => {
    put(workload("a", ["10.0.0.1"]));
    put(workload("b", ["10.0.0.1"]));
    put(workload("a", ["10.0.0.1"], { healthy: false }), "2");
    book.delete("uid-a");
    expect(nameAt("10.0.0.1")).toBe("b");
  });

  test("forgets at an address whoever has it; a workload with another address keeps that one", () => {
    put(workload("a", ["10.0.0.1"]));
    put(workload("b", ["10.0.0.2", "fd00::2"]));
    book.deleteAt(ip("10.0.0.1"));
    book.deleteAt(ip("10.0.0.2"));
    book.deleteAt(ip("10.0.0.3"));
    expect(["10.0.0.1", "10.0.0.2", "fd00::2"].map(nameAt)).toEqual([undefined, undefined, "b"]);
    expect(book.size).toBe(1);
  });

  test("forgets at an address also who had it before", () => {
    put(workload("a", ["10.0.0.1"]));
    put(workload("b", ["10.0.0.1"]));
    book.deleteAt(ip("10.0.0.1"));
    book.delete("uid-b");
    expect(nameAt("10.0.0.1")).toBeUndefined();
  });

  test("deleting what is not there changes nothing", () => {
    expect(book.delete("uid-nobody")).toEqual([]);
    expect(book.size).toBe(0);
  });
});

describe("endpoints", () => {
  const web = service("web", ["10.96.0.1"]);
  const behind = () => book.endpointsOf(web).map((known) => known.workload.name);

  test("are known whichever comes first, service or workload", () => {
    put(workload("a", ["10.0.0.1"], { services: endpointOf(web) }));
    put(web);
    put(workload("b", ["10.0.0.2"], { services: endpointOf(web) }));
    expect(behind()).toEqual(["a", "b"]);
  });

  test("leave when they are deleted or belong to the service no more", () => {
    put(web);
    put(workload("a", ["10.0.0.1"], { services: endpointOf(web) }));
    put(workload("b", ["10.0.0.2"], { services: endpointOf(web) }));
    put(workload("a", ["10.0.0.1"]), "2");
    expect(behind()).toEqual(["b"]);
    book.delete("uid-b");
    expect(behind()).toEqual([]);
  });
});

describe("release", () => {
  const web = service("web", ["10.96.0.1", "fd00:96::1"]);
  const api = service("api", ["10.96.0.2"]);
  const wanted =
    (...ips: string[]) =>
    (one: string) =>
      ips.includes(one);

  test("forgets a service and the endpoints that nobody else wants", () => {
    put(web);
    put(api);
    put(workload("only-web", ["10.0.0.1"], { services: endpointOf(web) }));
    put(workload("also-api", ["10.0.0.2"], { services: { ...endpointOf(web), ...endpointOf(api) } }));
    put(workload("followed", ["10.0.0.3"], { services: endpointOf(web) }));
    book.release(ip("10.96.0.1"), wanted("10.96.0.2", "10.0.0.3"));
    expect([...book.versions().keys()].sort()).toEqual([
      "shop/api.shop.svc.cluster.local",
      "uid-also-api",
      "uid-followed",
    ]);
  });

  test("keeps what another of its addresses is followed for", () => {
    put(web);
    book.release(ip("10.96.0.1"), wanted("fd00:96::1"));
    expect(nameAt("10.96.0.1")).toBe("web");
  });

  test("keeps a workload that a kept service has as an endpoint, and forgets any other", () => {
    put(web);
    put(workload("endpoint", ["10.0.0.1"], { services: endpointOf(web) }));
    put(workload("single", ["10.0.0.2"]));
    book.release(ip("10.0.0.1"), wanted());
    book.release(ip("10.0.0.2"), wanted());
    book.release(ip("10.0.0.9"), wanted());
    expect([nameAt("10.0.0.1"), nameAt("10.0.0.2")]).toEqual(["endpoint", undefined]);
  });
});
