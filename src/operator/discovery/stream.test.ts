import { describe, expect, test } from "bun:test";
import { status } from "@grpc/grpc-js";
import { parseSpiffeId } from "../../identity/index.ts";
import type { ProxySettings } from "../../mesh/index.ts";
import { MemoryLogger } from "../../testkit/memory-logger.ts";
import { podRecord } from "../../testkit/mesh-records.ts";
import { discoveryRequest } from "../../testkit/operator-stage.ts";
import { SmallMesh } from "../../testkit/small-mesh.ts";
import {
  type DeltaDiscoveryRequest,
  type DeltaDiscoveryResponse,
  METHODS,
  settingsFromWire,
  TYPE_URLS,
  trustBundleFromWire,
} from "../../wire/index.ts";
import { DiscoveryStream, MOST_NACK_LINES, MOST_UNACKNOWLEDGED } from "./stream.ts";

const { address, settings, trustBundle, authorization } = TYPE_URLS;

function stage(pods = 1) {
  const mesh = new SmallMesh();
  for (let i = 1; i <= pods; i++)
    mesh.pods.set(`shop/p${i}`, podRecord(`p${i}`, `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`));
  const catalog = mesh.catalog();
  const logger = new MemoryLogger();
  const sent: DeltaDiscoveryResponse[] = [];
  const state = { mode: "permissive" as ProxySettings["mode"], sequence: 1 };
  const caller = { id: parseSpiffeId("spiffe://cluster.local/ns/shop/sa/p1"), pod: podRecord("p1", "10.0.0.1") };
  const stream = new DiscoveryStream(
    caller,
    {
      catalog,
      settings: () => ({ mode: state.mode, podRanges: ["10.0.0.0/8"], serviceRanges: [], reissueEpoch: 0 }),
      bundle: () => ({ sequence: state.sequence, roots: [Uint8Array.of(1)] }),
    },
    logger,
    (response) => sent.push(response),
  );
  catalog.follow((names) => stream.catalogChanged(names));
  const ask = (parts: Partial<DeltaDiscoveryRequest>) => stream.receive(discoveryRequest(parts));
  /** What was sent since the last look. */
  const take = () => sent.splice(0);
  const ack = ({ typeUrl, nonce: responseNonce }: DeltaDiscoveryResponse) => ask({ typeUrl, responseNonce });
  /** A store change and the turn after it. */
  const change = async (action: () => void) => {
    action();
    await Promise.resolve();
  };
  return { mesh, stream, logger, state, ask, take, ack, change };
}

function only(responses: DeltaDiscoveryResponse[]): DeltaDiscoveryResponse {
  const [response, ...more] = responses;
  if (response === undefined || more.length > 0) throw new Error(`${responses.length} responses`);
  return response;
}

function names(response: DeltaDiscoveryResponse): string[] {
  return response.resources.map((one) => one.name);
}

function refusalOf(action: () => unknown): unknown {
  try {
    action();
  } catch (error) {
    return error;
  }
  throw new Error("not refused");
}

describe("addresses", () => {
  test("are answered at once, with version, aliases and a nonce", () => {
    const { ask, take } = stage();
    ask({ typeUrl: address, resourceNamesSubscribe: ["/10.0.0.1", "/10.9.9.9"] });
    const response = only(take());
    expect(response).toMatchObject({ typeUrl: address, removedResources: ["/10.9.9.9"] });
    expect(response.nonce).not.toBe("");
    expect(response.resources).toMatchObject([
      { name: "uid-p1", aliases: ["/10.0.0.1"], resource: { typeUrl: address } },
    ]);
  });

  test("are answered at once also while an answer waits for its acknowledgement", () => {
    const { ask, take } = stage(2);
    ask({ typeUrl: address, resourceNamesSubscribe: ["/10.0.0.1"] });
    ask({ typeUrl: address, resourceNamesSubscribe: ["/10.0.0.2"] });
    expect(take().map(names)).toEqual([["uid-p1"], ["uid-p2"]]);
  });

  test("are answered on a new stream also when nothing is new", () => {
    const first = stage();
    first.ask({ typeUrl: address });
    const [held] = only(first.take()).resources;
    const again = stage();
    again.ask({ typeUrl: address, initialResourceVersions: new Map([["uid-p1", held?.version ?? ""]]) });
    expect(only(again.take())).toMatchObject({ resources: [], removedResources: [] });
  });

  test("that change are pushed when the last answer is acknowledged, joined", async () => {
    const { mesh, ask, take, ack, change } = stage();
    ask({ typeUrl: address });
    const first = only(take());
    await change(() => mesh.pods.set("shop/x", podRecord("x", "10.0.0.8")));
    await change(() => mesh.pods.set("shop/y", podRecord("y", "10.0.0.9")));
    await change(() => mesh.pods.delete("shop/x"));
    await change(() => mesh.pods.delete("shop/p1"));
    expect(take()).toEqual([]);
    ack(first);
    const second = only(take());
    expect([names(second), second.removedResources]).toEqual([["uid-y"], ["uid-p1"]]);
    await change(() => mesh.pods.delete("shop/y"));
    expect(take()).toEqual([]);
    ack(second);
    expect(only(take()).removedResources).toEqual(["uid-y"]);
  });

  test("are pushed after a refusal too: a NACK is an answer", async () => {
    const { mesh, ask, take, change } = stage();
    ask({ typeUrl: address });
    const { nonce: responseNonce } = only(take());
    ask({ typeUrl: address, responseNonce, errorDetail: { code: 3, message: "no" } });
    await change(() => mesh.pods.delete("shop/p1"));
    expect(only(take()).removedResources).toEqual(["uid-p1"]);
  });

  test("wait for the last of several answers, whatever nonce is made up", async () => {
    const { mesh, ask, take, change } = stage(2);
    ask({ typeUrl: address, resourceNamesSubscribe: ["/10.0.0.1"] });
    ask({ typeUrl: address, resourceNamesSubscribe: ["/10.0.0.2"] });
    const [first, second] = take();
    await change(() => mesh.pods.delete("shop/p1"));
    for (const responseNonce of ["1", "2", "3", first?.nonce ?? ""]) ask({ typeUrl: address, responseNonce });
    // A nonce of another type is none of this one.
    ask({ typeUrl: settings, responseNonce: second?.nonce ?? "" });
    expect(take().filter((one) => one.typeUrl === address)).toEqual([]);
    ask({ typeUrl: address, responseNonce: second?.nonce ?? "" });
    expect(only(take()).removedResources).toEqual(["uid-p1"]);
  });

  test("come in parts well under gRPC's 4 MiB, what is gone first", () => {
    const { ask, take } = stage(10_000);
    const gone = Array.from({ length: 30_000 }, (_, i) => [`gone-${i}-${"x".repeat(50)}`, "old"] as const);
    ask({ typeUrl: address, initialResourceVersions: new Map(gone) });
    const responses = take();
    const sizes = responses.map((one) => METHODS.deltaAggregatedResources.encodeResponse(one).length);
    expect(Math.max(...sizes)).toBeLessThan(3 * 1024 * 1024);
    expect(responses.flatMap(names)).toHaveLength(10_000);
    expect(responses.flatMap((one) => one.removedResources)).toHaveLength(30_000);
    const firstResource = responses.findIndex((one) => one.resources.length > 0);
    expect(responses.slice(firstResource + 1).every((one) => one.removedResources.length === 0)).toBe(true);
  });
});

describe("settings and trust bundle", () => {
  test("are answered at once and pushed only when they change", () => {
    const { stream, state, ask, take, ack } = stage();
    ask({ typeUrl: settings, resourceNamesSubscribe: ["default"] });
    ask({ typeUrl: trustBundle, resourceNamesSubscribe: ["default"] });
    const [first, bundle] = take();
    if (first === undefined || bundle === undefined) throw new Error("no answers");
    expect(settingsFromWire(first.resources[0]?.resource?.value ?? new Uint8Array()).mode).toBe("permissive");
    expect(trustBundleFromWire(bundle.resources[0]?.resource?.value ?? new Uint8Array()).sequence).toBe(1);
    ack(first);
    ack(bundle);
    stream.stateChanged();
    expect(take()).toEqual([]);
    state.mode = "strict";
    stream.stateChanged();
    const pushed = only(take());
    expect(pushed).toMatchObject({ typeUrl: settings, resources: [{ name: "default" }] });
    expect(pushed.resources[0]?.version).not.toBe(first.resources[0]?.version ?? "");
  });

  test("are not sent to who has them", () => {
    const { ask, take } = stage();
    ask({ typeUrl: settings, resourceNamesSubscribe: ["default"] });
    const version = only(take()).resources[0]?.version ?? "";
    const again = stage();
    again.ask({
      typeUrl: settings,
      resourceNamesSubscribe: ["default"],
      initialResourceVersions: new Map([["default", version]]),
    });
    expect(only(again.take()).resources).toEqual([]);
  });

  test("that change many times cost a client that reads nothing one response", () => {
    const { stream, state, ask, take, ack } = stage();
    ask({ typeUrl: trustBundle, resourceNamesSubscribe: ["default"] });
    const first = only(take());
    for (state.sequence = 2; state.sequence < 1_000; state.sequence++) stream.stateChanged();
    expect(take()).toEqual([]);
    ack(first);
    const last = only(take());
    expect(trustBundleFromWire(last.resources[0]?.resource?.value ?? new Uint8Array()).sequence).toBe(1_000);
  });

  test("are answered again when they are asked for again", () => {
    const { ask, take } = stage();
    for (let i = 0; i < 2; i++) ask({ typeUrl: settings, resourceNamesSubscribe: ["default"] });
    expect(take().map(names)).toEqual([["default"], ["default"]]);
  });
});

describe("a type that the operator has nothing of", () => {
  test("is answered empty, and its acknowledgement with nothing", () => {
    const { ask, take, ack } = stage();
    ask({ typeUrl: authorization });
    const response = only(take());
    expect(response).toMatchObject({ typeUrl: authorization, resources: [], removedResources: [] });
    ack(response);
    expect(take()).toEqual([]);
    ask({ typeUrl: "type.googleapis.com/x", resourceNamesSubscribe: ["y"] });
    expect(only(take()).removedResources).toEqual(["y"]);
  });
});

describe("a client that refuses what it is sent", () => {
  test("is heard in the log, cut short", () => {
    const { ask, logger } = stage();
    ask({ typeUrl: address, responseNonce: "1", errorDetail: { code: 3, message: "x".repeat(5_000) } });
    const [line] = logger.of("a proxy refused what discovery sent");
    expect(line).toMatchObject({ level: "warn", fields: { pod: "p1", typeUrl: address, problem: "x".repeat(1_024) } });
  });

  test("does not fill the log: neither by many refusals nor by a type of its own", () => {
    const { ask, logger } = stage();
    for (let i = 0; i < 1_000; i++) {
      ask({ typeUrl: "t".repeat(100_000), responseNonce: "1", errorDetail: { code: 3, message: "no" } });
    }
    const lines = logger.of("a proxy refused what discovery sent");
    expect(lines).toHaveLength(MOST_NACK_LINES);
    expect(lines.every((line) => line.fields["typeUrl"] === "unknown")).toBe(true);
  });
});

describe("a client that reads nothing", () => {
  const unacknowledged = { code: status.RESOURCE_EXHAUSTED, reason: "unacknowledged" };

  test.each([
    ["everything", { typeUrl: address, resourceNamesSubscribe: ["*"] }],
    ["its settings", { typeUrl: settings, resourceNamesSubscribe: ["default"] }],
    ["types that there are not", { typeUrl: "t".repeat(100_000) }],
    ["names that there are not", { typeUrl: authorization, resourceNamesSubscribe: ["n".repeat(100_000)] }],
  ])("cannot make the operator hold more than a bound by asking for %s", (_what, request) => {
    const { ask, take } = stage(5_000);
    let bytes = 0;
    const flood = () => {
      for (let i = 0; i < 200_000; i++) {
        ask(request);
        for (const one of take()) bytes += METHODS.deltaAggregatedResources.encodeResponse(one).length;
      }
    };
    expect(refusalOf(flood)).toMatchObject(unacknowledged);
    expect(bytes).toBeLessThan(MOST_UNACKNOWLEDGED + 4 * 1024 * 1024);
  });

  test("may still acknowledge, and is answered again then", () => {
    const { ask, take, ack } = stage(5_000);
    refusalOf(() => {
      for (;;) ask({ typeUrl: address, resourceNamesSubscribe: ["*"] });
    });
    for (const response of take()) ack(response);
    ask({ typeUrl: address, resourceNamesSubscribe: ["/10.0.0.1"] });
    expect(names(only(take()))).toEqual(["uid-p1"]);
  });

  test("is owed no name that came and went meanwhile", async () => {
    const { mesh, ask, take, ack, change } = stage();
    ask({ typeUrl: address });
    const first = only(take());
    for (let i = 0; i < 100; i++) {
      await change(() => mesh.pods.set("shop/x", podRecord("x", "10.0.0.8", { uid: `uid-${i}` })));
    }
    await change(() => mesh.pods.delete("shop/x"));
    ack(first);
    expect(take()).toEqual([]);
  });
});
