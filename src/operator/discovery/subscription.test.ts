import { describe, expect, test } from "bun:test";
import { status } from "@grpc/grpc-js";
import fc from "fast-check";
import { endpointsRecord, podRecord, serviceRecord } from "../../testkit/mesh-records.ts";
import { ASKABLE, type MeshChange, meshChange, SmallMesh } from "../../testkit/small-mesh.ts";
import { Refusal } from "../errors.ts";
import type { Catalog, CatalogEntry } from "./catalog.ts";
import { AddressSubscription, type Delta, LONGEST_NAME, MOST_NAMES, type SubscriptionChange } from "./subscription.ts";

const WEB = "shop/web.shop.svc.cluster.local";

/** Two pods behind a service, and one beside it. */
function stage() {
  const mesh = new SmallMesh();
  const pods = [podRecord("a", "10.244.0.1"), podRecord("b", "10.244.0.2"), podRecord("c", "10.244.0.3")];
  for (const pod of pods) mesh.pods.set(`shop/${pod.name}`, pod);
  mesh.services.set("shop/web", serviceRecord("web", "10.96.0.1"));
  mesh.endpoints.set("shop/web", endpointsRecord("web", pods.slice(0, 2)));
  const catalog = mesh.catalog();
  const subscription = new AddressSubscription(catalog);
  const ask = (change: Partial<SubscriptionChange>) => plain(subscription.change(request(change)));
  /** Changes the mesh and answers what the client has to hear. */
  const change = async (action: () => void) => {
    const names = new Set<string>();
    using _following = catalog.follow((changed) => {
      for (const name of changed) names.add(name);
    });
    action();
    await Promise.resolve();
    return plain(subscription.changed(names));
  };
  const version = (name: string) => catalog.get(name)?.version ?? "";
  return { mesh, pods, catalog, subscription, ask, change, version };
}

function request(change: Partial<SubscriptionChange>): SubscriptionChange {
  return { subscribe: [], unsubscribe: [], held: new Map(), ...change };
}

function plain({ entries, removed }: Delta) {
  return { sent: entries.map((entry) => entry.name).sort(), removed: [...removed].sort() };
}

const NOTHING = { sent: [], removed: [] };
const ALL = { sent: [WEB, "uid-a", "uid-b", "uid-c"], removed: [] };

describe("a client of everything", () => {
  test("is one that names nothing at first, or names *", () => {
    expect(stage().ask({})).toEqual(ALL);
    expect(stage().ask({ subscribe: ["*"] })).toEqual(ALL);
  });

  test("hears of every change", async () => {
    const { mesh, ask, change } = stage();
    ask({});
    expect(await change(() => mesh.pods.set("shop/d", podRecord("d", "10.244.0.4")))).toEqual({
      sent: ["uid-d"],
      removed: [],
    });
    expect(await change(() => mesh.pods.delete("shop/d"))).toEqual({ sent: [], removed: ["uid-d"] });
  });

  test("is sent only what it does not have when it comes back, and what went", () => {
    const { ask, version } = stage();
    const held = new Map([
      ["uid-a", version("uid-a")],
      ["uid-b", "old"],
      ["uid-gone", "old"],
      [WEB, version(WEB)],
    ]);
    expect(ask({ held })).toEqual({ sent: ["uid-b", "uid-c"], removed: ["uid-gone"] });
  });

  test("that lets go of it keeps what it asked for by name", async () => {
    const { mesh, ask, change, subscription } = stage();
    ask({});
    ask({ subscribe: ["/10.244.0.3"], unsubscribe: ["*"] });
    expect(subscription.size).toBe(1);
    expect(await change(() => mesh.pods.set("shop/a", podRecord("a", "10.244.0.9")))).toEqual(NOTHING);
    expect(await change(() => mesh.pods.set("shop/c", podRecord("c", "10.244.0.3", { ready: false })))).toEqual({
      sent: ["uid-c"],
      removed: [],
    });
  });

  test("that lets go of one name is told what becomes of it", () => {
    const { ask } = stage();
    ask({});
    expect(ask({ unsubscribe: ["/10.244.0.1", "/10.244.9.9"] })).toEqual({ sent: ["uid-a"], removed: ["/10.244.9.9"] });
  });

  test("may come back with more than a client may name", () => {
    const { subscription } = stage();
    const held = new Map(Array.from({ length: MOST_NAMES + 1 }, (_, i) => [`uid-${i}`, "old"]));
    expect(subscription.change(request({ subscribe: ["*"], held })).removed).toHaveLength(MOST_NAMES + 1);
  });
});

describe("a client on demand", () => {
  test("that names * in both lists asks for nothing yet (ztunnel)", async () => {
    const { mesh, ask, change } = stage();
    expect(ask({ subscribe: ["*"], unsubscribe: ["*"] })).toEqual(NOTHING);
    expect(await change(() => mesh.pods.set("shop/a", podRecord("a", "10.244.0.9")))).toEqual(NOTHING);
    expect(ask({ subscribe: ["/10.244.0.9"] }).sent).toEqual(["uid-a"]);
  });

  test("gets a service with its workloads", () => {
    expect(stage().ask({ subscribe: ["/10.96.0.1"] })).toEqual({ sent: [WEB, "uid-a", "uid-b"], removed: [] });
    expect(stage().ask({ subscribe: [WEB] })).toEqual({ sent: [WEB, "uid-a", "uid-b"], removed: [] });
  });

  test("hears of an absent name as removed, and later of what appears there", async () => {
    const { mesh, ask, change } = stage();
    expect(ask({ subscribe: ["/10.244.0.9"] })).toEqual({ sent: [], removed: ["/10.244.0.9"] });
    const sent = await change(() => mesh.pods.set("shop/d", podRecord("d", "10.244.0.9")));
    expect(sent).toEqual({ sent: ["uid-d"], removed: [] });
    expect(await change(() => mesh.pods.delete("shop/d"))).toEqual({ sent: [], removed: ["uid-d"] });
  });

  test("hears nothing of others", async () => {
    const { mesh, ask, change } = stage();
    ask({ subscribe: ["/10.244.0.3"] });
    expect(await change(() => mesh.pods.delete("shop/a"))).toEqual(NOTHING);
  });

  test("hears of workloads that join and leave its service", async () => {
    const { mesh, pods, ask, change } = stage();
    ask({ subscribe: ["/10.96.0.1"] });
    const joined = await change(() => mesh.endpoints.set("shop/web", endpointsRecord("web", pods)));
    expect(joined).toEqual({ sent: ["uid-c"], removed: [] });
    const left = await change(() => mesh.endpoints.set("shop/web", endpointsRecord("web", pods.slice(1))));
    expect(left).toEqual({ sent: [], removed: ["uid-a"] });
  });

  test("hears of the workloads too when a service takes or loses the address that it asked for", async () => {
    const { mesh, ask, change } = stage();
    ask({ subscribe: ["/10.96.0.7"] });
    const moved = await change(() => mesh.services.set("shop/web", serviceRecord("web", "10.96.0.7")));
    expect(moved).toEqual({ sent: [WEB, "uid-a", "uid-b"], removed: [] });
    const back = await change(() => mesh.services.set("shop/web", serviceRecord("web", "10.96.0.1")));
    expect(back).toEqual({ sent: [], removed: [WEB, "uid-a", "uid-b"] });
  });

  test("is answered again when it asks again", () => {
    const { ask } = stage();
    ask({ subscribe: ["/10.244.0.3"] });
    expect(ask({ subscribe: ["/10.244.0.3"] }).sent).toEqual(["uid-c"]);
    ask({ unsubscribe: ["/10.244.0.3"] });
    expect(ask({ subscribe: ["/10.244.0.3"] }).sent).toEqual(["uid-c"]);
  });

  test("hears no more of what it let go, except of what another name keeps", async () => {
    const { mesh, ask, change, subscription } = stage();
    ask({ subscribe: ["/10.96.0.1", "/10.244.0.1"] });
    expect(ask({ unsubscribe: ["/10.96.0.1"] })).toEqual({ sent: [], removed: [WEB, "uid-b"] });
    expect(subscription.size).toBe(1);
    expect(await change(() => mesh.pods.set("shop/b", podRecord("b", "10.244.0.8")))).toEqual(NOTHING);
    const kept = await change(() => mesh.pods.set("shop/a", podRecord("a", "10.244.0.1", { node: "node-2" })));
    expect(kept).toEqual({ sent: ["uid-a"], removed: [] });
    expect(await change(() => mesh.pods.delete("shop/a"))).toEqual({ sent: [], removed: ["uid-a"] });
  });

  test("that comes back with what it held is as good as subscribed to it", async () => {
    const { mesh, ask, change, version } = stage();
    const held = new Map([["uid-c", version("uid-c")]]);
    expect(ask({ subscribe: ["/10.244.0.1"], held })).toEqual({ sent: ["uid-a"], removed: [] });
    expect(await change(() => mesh.pods.delete("shop/c"))).toEqual({ sent: [], removed: ["uid-c"] });
  });

  test("that comes back with a service hears of workloads that joined it meanwhile", () => {
    const { ask, version } = stage();
    const held = new Map([
      [WEB, version(WEB)],
      ["uid-a", version("uid-a")],
    ]);
    expect(ask({ subscribe: ["/10.244.0.3"], held }).sent).toEqual(["uid-b", "uid-c"]);
  });

  test("that comes back with the address of what it held lets go of both", async () => {
    const { mesh, ask, change, version, subscription } = stage();
    ask({ subscribe: ["/10.244.0.3"], held: new Map([["uid-c", version("uid-c")]]) });
    ask({ unsubscribe: ["/10.244.0.3"] });
    expect(subscription.size).toBe(0);
    expect(await change(() => mesh.pods.delete("shop/c"))).toEqual(NOTHING);
  });

  test("believes held versions only at first", () => {
    const { ask, version } = stage();
    ask({ subscribe: ["/10.244.0.1"] });
    const held = new Map([["uid-b", version("uid-b")]]);
    expect(ask({ subscribe: ["/10.244.0.3"], held })).toEqual({ sent: ["uid-c"], removed: [] });
  });
});

describe("a hostile client", () => {
  function refusalOf(action: () => unknown): Refusal {
    try {
      action();
    } catch (error) {
      if (error instanceof Refusal) return error;
      throw error;
    }
    throw new Error("not refused");
  }
  const tooLarge = { code: status.INVALID_ARGUMENT, reason: "subscription-too-large" };

  test("may not name more than a client needs, in one request or in many", () => {
    const names = Array.from({ length: MOST_NAMES + 1 }, (_, i) => `/name-${i}`);
    expect(refusalOf(() => stage().ask({ subscribe: names }))).toMatchObject(tooLarge);
    const { ask } = stage();
    ask({ subscribe: names.slice(0, MOST_NAMES) });
    expect(refusalOf(() => ask({ subscribe: names.slice(MOST_NAMES) }))).toMatchObject(tooLarge);
    const held = new Map(names.map((name) => [name, "old"]));
    expect(refusalOf(() => stage().ask({ subscribe: ["/10.244.0.1"], held }))).toMatchObject(tooLarge);
  });

  test("may not name what is no name", () => {
    const long = "x".repeat(LONGEST_NAME + 1);
    expect(refusalOf(() => stage().ask({ subscribe: [long] }))).toMatchObject(tooLarge);
    const held = new Map([[long, "old"]]);
    expect(refusalOf(() => stage().ask({ subscribe: ["/10.244.0.1"], held }))).toMatchObject(tooLarge);
  });

  test("costs no more for a name that it repeats", () => {
    const mesh = new SmallMesh();
    const pods = Array.from({ length: 2_000 }, (_, i) => podRecord(`p${i}`, `10.${i >> 8}.${i & 255}.1`));
    for (const pod of pods) mesh.pods.set(`shop/${pod.name}`, pod);
    mesh.services.set("shop/web", serviceRecord("web", "10.96.0.1"));
    mesh.endpoints.set("shop/web", endpointsRecord("web", pods));
    const subscription = new AddressSubscription(mesh.catalog());
    subscription.change(request({}));
    // 4 MiB hold about a million: with a look at each this takes minutes.
    for (const name of ["*", "/10.96.0.1"]) {
      const names = Array.from({ length: 1_000_000 }, () => name);
      const began = performance.now();
      subscription.change(request({ subscribe: names, unsubscribe: names }));
      expect(performance.now() - began).toBeLessThan(10_000);
    }
  });
});

/** A client that knows nothing but what it is sent. */
class SimulatedClient {
  readonly names = new Set<string>();
  readonly resources = new Map<string, CatalogEntry>();
  readonly #implied = new Set<string>();
  everything = false;

  apply({ entries, removed }: Delta): void {
    for (const name of removed) {
      this.resources.delete(name);
      if (!name.startsWith("/")) continue;
      // Nobody is there, says discovery.
      for (const entry of [...this.resources.values()]) {
        if (entry.aliases.includes(name)) this.resources.delete(entry.name);
      }
    }
    for (const entry of entries) this.resources.set(entry.name, entry);
  }

  subscribe(name: string): void {
    if (name === "*") this.everything = true;
    else this.names.add(name);
  }

  unsubscribe(name: string): void {
    if (name === "*") this.everything = false;
    this.names.delete(name);
    for (const entry of this.resources.values()) {
      if (entry.name === name || entry.aliases.includes(name)) this.#implied.delete(entry.name);
    }
    this.#implied.delete(name);
    for (const entry of [...this.resources.values()]) if (!this.#wants(entry)) this.resources.delete(entry.name);
  }

  /** What a new stream says. */
  reconnect(): Partial<SubscriptionChange> {
    if (!this.everything) for (const name of this.resources.keys()) this.#implied.add(name);
    const held = new Map([...this.resources].map(([name, entry]) => [name, entry.version]));
    return { subscribe: [...this.names, ...(this.everything ? ["*"] : [])], held };
  }

  #wants(entry: CatalogEntry): boolean {
    if (this.everything || this.#asked(entry)) return true;
    return (entry.services ?? []).some((name) => {
      const service = this.resources.get(name);
      return service !== undefined && this.#asked(service);
    });
  }

  #asked(entry: CatalogEntry): boolean {
    return (
      this.names.has(entry.name) ||
      this.#implied.has(entry.name) ||
      entry.aliases.some((alias) => this.names.has(alias))
    );
  }
}

type Step =
  | { readonly kind: "change"; readonly change: MeshChange }
  | { readonly kind: "turn" }
  | { readonly kind: "push" }
  | { readonly kind: "subscribe"; readonly names: readonly string[] }
  | { readonly kind: "unsubscribe"; readonly names: readonly string[] }
  | { readonly kind: "reconnect" };

const askable = fc.uniqueArray(fc.constantFrom("*", ...ASKABLE), { minLength: 1, maxLength: 4 });
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: meshChange.map((change) => ({ kind: "change" as const, change })) },
  { weight: 3, arbitrary: fc.constant({ kind: "turn" as const }) },
  { weight: 3, arbitrary: fc.constant({ kind: "push" as const }) },
  { weight: 3, arbitrary: askable.map((names) => ({ kind: "subscribe" as const, names })) },
  { weight: 2, arbitrary: askable.map((names) => ({ kind: "unsubscribe" as const, names })) },
  { weight: 1, arbitrary: fc.constant({ kind: "reconnect" as const }) },
);

test("a client that applies every delta ends with exactly what a fresh look-up answers", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(meshChange, { maxLength: 10 }),
      fc.array(step, { maxLength: 40 }),
      async (before, steps) => {
        const mesh = new SmallMesh();
        for (const change of before) change(mesh);
        using catalog = mesh.catalog();
        const client = new SimulatedClient();
        let subscription: AddressSubscription | undefined;
        let reconnected = false;
        const pending = new Set<string>();
        catalog.follow((names) => {
          for (const name of names) {
            if (subscription?.concerns(name) === true) pending.add(name);
            else pending.delete(name);
          }
        });
        const push = () => {
          if (subscription !== undefined) client.apply(subscription.changed(pending));
          pending.clear();
        };
        for (const one of steps) {
          if (one.kind === "change") one.change(mesh);
          else if (one.kind === "turn") await Promise.resolve();
          else if (one.kind === "push") push();
          else if (one.kind === "subscribe") {
            for (const name of one.names) client.subscribe(name);
            subscription ??= new AddressSubscription(catalog);
            client.apply(subscription.change(request({ subscribe: one.names })));
          } else if (subscription === undefined) continue;
          else if (one.kind === "unsubscribe") {
            for (const name of one.names) client.unsubscribe(name);
            client.apply(subscription.change(request({ unsubscribe: one.names })));
          } else if (client.names.size > 0 || client.everything) {
            reconnected = true;
            pending.clear();
            subscription = new AddressSubscription(catalog);
            client.apply(subscription.change(request(client.reconnect())));
          }
        }
        await Promise.resolve();
        push();
        check(client, catalog, reconnected);
      },
    ),
    { numRuns: 1_500 },
  );
});

function check(client: SimulatedClient, catalog: Catalog, reconnected: boolean): void {
  const wanted = client.everything
    ? [...catalog.all()]
    : [...client.names].flatMap((name) => [...catalog.lookUp(name)]);
  const fresh = new Map(wanted.map((entry) => [entry.name, entry.version]));
  const has = new Map([...client.resources].map(([name, entry]) => [name, entry.version]));
  for (const [name, version] of has) {
    // What it held at a reconnect it may keep beyond what it asks for; nothing that it has is out of date.
    if (reconnected && !fresh.has(name)) expect(catalog.get(name)?.version).toBe(version);
    else expect([name, fresh.get(name)]).toEqual([name, version]);
  }
  for (const name of fresh.keys()) expect(has.has(name)).toBe(true);
}
