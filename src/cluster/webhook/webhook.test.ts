import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { once } from "node:events";
import { Agent, request } from "node:https";
import { connect } from "node:tls";
import { Authority, KeyPair, parseSpiffeId, parseTrustDomain, pemEncode } from "../../identity/index.ts";
import { applyPatch, type PatchOperation } from "../../inject/index.ts";
import { KubeClient } from "../../kube/index.ts";
import type { Ip } from "../../mesh/index.ts";
import { FakeApiServer } from "../../testkit/fake-api-server.ts";
import { FakeClock } from "../../testkit/fake-clock.ts";
import { MemoryLogger } from "../../testkit/memory-logger.ts";
import { SeededRandom } from "../../testkit/seeded-random.ts";
import { until } from "../../testkit/until.ts";
import { CaBundleKeeper } from "./ca-bundle.ts";
import { type ReviewContext, reviewAdmission } from "./review.ts";
import { WebhookServer } from "./server.ts";

const labels = new Map<string, Record<string, string>>([
  ["meshed", { "tulle.dev/inject": "enabled" }],
  ["plain", {}],
  ["off", { "tulle.dev/inject": "disabled" }],
]);
const context: ReviewContext = {
  config: {
    image: "tulle:1",
    version: "1",
    trustDomain: "cluster.local",
    operatorAddress: "tulle-operator.tulle-system.svc:15012",
  },
  ownNamespace: "tulle-system",
  namespaceLabels: (name) => labels.get(name),
};
const pod = (metadata: object = {}, spec: object = {}) => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "web", ...metadata },
  spec: { containers: [{ name: "app", image: "x" }], futureField: { kept: true }, ...spec },
});
const reviewOf = (object: object, namespace = "meshed") => ({
  apiVersion: "admission.k8s.io/v1",
  kind: "AdmissionReview",
  request: { uid: "u-1", namespace, operation: "CREATE", object },
});
interface Answer {
  readonly apiVersion: string;
  readonly response: {
    readonly uid: string;
    readonly allowed: boolean;
    readonly patchType?: string;
    readonly patch?: string;
    readonly status?: { readonly message: string };
  };
}
const review = (object: object, namespace?: string) => {
  const { outcome, response } = reviewAdmission(reviewOf(object, namespace), context);
  return { outcome, ...(response as Answer).response };
};
const patched = (object: object, answer: { readonly patch?: string }) =>
  applyPatch(object, JSON.parse(Buffer.from(answer.patch ?? "", "base64").toString()) as PatchOperation[]);

describe("a review", () => {
  test("of a pod in a meshed namespace patches it, echoes the uid and keeps unknown fields", () => {
    const object = pod();
    const answer = review(object);
    expect(answer).toMatchObject({ outcome: "patched", uid: "u-1", allowed: true, patchType: "JSONPatch" });
    const meshed = patched(object, answer) as { spec: { initContainers: { name: string }[]; futureField: unknown } };
    expect(meshed.spec.initContainers.map((one) => one.name)).toEqual(["tulle-init", "tulle-proxy"]);
    expect(meshed.spec.futureField).toEqual({ kept: true });
    expect(review(meshed)).toMatchObject({ outcome: "unchanged", allowed: true });
  });

  test.each([
    ["its namespace has no label", pod(), "plain"],
    ["its namespace says disabled, whatever it says", pod({ labels: { "tulle.dev/inject": "enabled" } }), "off"],
    ["it opts out", pod({ labels: { "tulle.dev/inject": "disabled" } }), "meshed"],
  ])("lets a pod be as it is when %s", (_why, object, namespace) => {
    const answer = review(object, namespace);
    expect(answer).toMatchObject({ outcome: "unchanged", allowed: true });
    expect(answer.patch).toBeUndefined();
  });

  test("injects a pod that asks for it in a namespace without a label, and one of a namespace that is not known yet", () => {
    expect(review(pod({ labels: { "tulle.dev/inject": "enabled" } }), "plain").outcome).toBe("patched");
    expect(review(pod(), "brand-new").outcome).toBe("patched");
  });

  test("refuses a pod that cannot be meshed, with the reason and the way out", () => {
    const answer = review(pod({}, { containers: [{ name: "app", image: "x", securityContext: { runAsUser: 1337 } }] }));
    expect(answer).toMatchObject({ outcome: "refused", allowed: false });
    expect(answer.status?.message).toMatch(/^tulle: container app runs as user 1337\. .*another user/);
  });

  test.each([[null], [[]], ["x"], [{}], [{ request: {} }], [{ request: { uid: "u", object: [] } }]])(
    "of no pod is no review: %p",
    (body) => {
      expect(() => reviewAdmission(body, context)).toThrow(RangeError);
    },
  );
});

describe("the server", () => {
  const clock = new FakeClock(Date.now());
  const authority = Authority.create({
    trustDomain: parseTrustDomain("cluster.local"),
    clock,
    random: new SeededRandom(),
  });
  const certificate = () => {
    const key = KeyPair.generate();
    const id = parseSpiffeId("spiffe://cluster.local/ns/tulle-system/sa/tulle-operator");
    const names = { dnsNames: ["tulle-operator.tulle-system.svc"], ips: ["127.0.0.1" as Ip] };
    const { chain } = authority.issueServer({ spki: key.spki, id, ...names });
    return { cert: chain.map((der) => pemEncode("CERTIFICATE", der)).join(""), key: key.privateKeyPem() };
  };
  let material = certificate();
  let webhook: WebhookServer;

  beforeEach(() => {
    webhook = new WebhookServer({
      hosts: ["127.0.0.1"],
      port: 0,
      material: () => material,
      context,
      clock,
      logger: new MemoryLogger(),
    });
  });
  afterEach(() => webhook[Symbol.dispose]());

  /** As the API server calls: verified by caBundle and the Service's DNS name. */
  const post = (body: string, path = "/inject?timeout=5s", method = "POST") =>
    new Promise<{ status: number; text: string; serial: string }>((resolve, reject) => {
      const call = request(
        {
          host: "127.0.0.1",
          port: webhook.port,
          servername: "tulle-operator.tulle-system.svc",
          ca: authority.bundle().pem(),
          method,
          path,
          agent: false,
        },
        (response) => {
          const { serialNumber } = (
            response.socket as never as { getPeerCertificate(): { serialNumber: string } }
          ).getPeerCertificate();
          let text = "";
          response.on("data", (chunk) => (text += chunk));
          response.on("end", () => resolve({ status: response.statusCode ?? 0, text, serial: serialNumber }));
        },
      );
      call.on("error", reject);
      call.end(body);
    });

  test("answers over TLS under the Service's name", async () => {
    const { status, text } = await post(JSON.stringify(reviewOf(pod())));
    expect(status).toBe(200);
    expect((JSON.parse(text) as Answer).response.allowed).toBe(true);
    expect(webhook.counts.get("patched")).toBe(1);
  });

  test("shows a renewed certificate to the next connection, without a gap", async () => {
    const before = await post(JSON.stringify(reviewOf(pod())));
    material = certificate();
    const after = await post(JSON.stringify(reviewOf(pod())));
    expect(after.status).toBe(200);
    expect(after.serial).not.toBe(before.serial);
  });

  test("takes a pod of 1 MB, and 50 reviews at once", async () => {
    const large = pod({ annotations: { filler: "x".repeat(1_000_000) } });
    expect((await post(JSON.stringify(reviewOf(large)))).status).toBe(200);
    const answers = await Promise.all(Array.from({ length: 50 }, () => post(JSON.stringify(reviewOf(pod())))));
    expect(answers.every((one) => one.status === 200)).toBe(true);
  });

  test("takes 400 reviews at once from one API server, each on a connection of its own", async () => {
    const body = JSON.stringify(reviewOf(pod()));
    const answers = await Promise.all(Array.from({ length: 400 }, () => post(body)));
    expect(answers.filter((one) => one.status === 200)).toHaveLength(400);
  });

  test("ends a kept connection with the next answer once it leaves", async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const ask = () =>
      new Promise<string | undefined>((resolve, reject) => {
        const call = request(
          {
            host: "127.0.0.1",
            port: webhook.port,
            servername: "tulle-operator.tulle-system.svc",
            ca: authority.bundle().pem(),
            method: "POST",
            path: "/inject",
            agent,
          },
          (response) => response.resume().on("end", () => resolve(response.headers.connection)),
        );
        call.on("error", reject);
        call.end(JSON.stringify(reviewOf(pod())));
      });
    expect(await ask()).not.toBe("close");
    webhook.leave();
    expect(await ask()).toBe("close");
    expect(await ask()).toBe("close");
    expect(webhook.counts.get("patched")).toBe(3);
    agent.destroy();
  });

  /** A request whose body does not end, on a connection of its own. */
  const unfinished = async (bytes: number) => {
    const { promise: closed, resolve: close } = Promise.withResolvers<void>();
    const socket = connect({ host: "127.0.0.1", port: webhook.port, rejectUnauthorized: false });
    socket.on("error", () => undefined);
    socket.on("close", () => close());
    await once(socket, "secureConnect");
    socket.resume();
    socket.write(`POST /inject HTTP/1.1\r\nhost: x\r\ncontent-length: ${bytes + 1}\r\n\r\n`);
    socket.write(Buffer.alloc(bytes, " "));
    return { closed, [Symbol.dispose]: () => void socket.destroy() };
  };

  test("waits 10 s for a body that does not come, and not for ever", async () => {
    using slow = await unfinished(10);
    await post(JSON.stringify(reviewOf(pod())));
    let over = false;
    void slow.closed.then(() => {
      over = true;
    });
    clock.advance(9_000);
    await post(JSON.stringify(reviewOf(pod())));
    expect(over).toBe(false);
    clock.advance(1_000);
    await slow.closed;
    expect(webhook.counts.get("bad-request")).toBe(1);
  });

  test("keeps no more bodies of strangers in memory than it has room for, and forgets those that went", async () => {
    const held = await Promise.all(Array.from({ length: 9 }, () => unfinished(7_900_000)));
    await Promise.race(held.map((one) => one.closed));
    for (const one of held) one[Symbol.dispose]();
    await until(() => webhook.counts.get("bad-request") === 9, "the end of all of them");
    const large = pod({ annotations: { filler: "x".repeat(7_900_000) } });
    expect((await post(JSON.stringify(reviewOf(large)))).status).toBe(200);
  });

  test("answers what is no review with 400, another path or method with 404, and lives on", async () => {
    expect((await post("{")).status).toBe(400);
    expect((await post("[]")).status).toBe(400);
    expect((await post("{}", "/other")).status).toBe(404);
    expect((await post("", "/inject", "GET")).status).toBe(404);
    expect((await post(JSON.stringify(reviewOf(pod())))).status).toBe(200);
  });
});

describe("caBundle", () => {
  const KIND = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
  let server: FakeApiServer;
  let client: KubeClient;
  let keeper: CaBundleKeeper;
  let pem = "first";
  const clock = new FakeClock();

  beforeEach(async () => {
    server = await FakeApiServer.start();
    client = new KubeClient({ connection: server.connection(), clock, agent: "tulle/test" });
    const shared = { client, clock, random: new SeededRandom(), logger: new MemoryLogger() };
    keeper = new CaBundleKeeper({ ...shared, name: "tulle-injector", pem: () => pem });
  });
  afterEach(async () => {
    keeper[Symbol.dispose]();
    client[Symbol.dispose]();
    await server[Symbol.asyncDispose]();
  });
  const applied = () => server.requests.filter((one) => one.method === "PATCH");

  test("is applied to every webhook of the configuration, as soon as there is one and whenever it differs", async () => {
    expect(keeper.current).toBe(false);
    server.storage.create(KIND, undefined, {
      metadata: { name: "tulle-injector" },
      webhooks: [
        { name: "a.x", clientConfig: {} },
        { name: "b.x", clientConfig: { caBundle: "b3RoZXI=" } },
      ],
    } as never);
    await until(() => applied().length === 1, "the first apply");
    const encoded = Buffer.from("first").toString("base64");
    expect(applied()[0]?.body).toMatchObject({
      webhooks: [
        { name: "a.x", clientConfig: { caBundle: encoded } },
        { name: "b.x", clientConfig: { caBundle: encoded } },
      ],
    });
    expect(applied()[0]?.query.get("fieldManager")).toBe("tulle-operator");
    await until(() => keeper.current, "the bundle in place");
    pem = "second";
    keeper.changed();
    await until(() => applied().length === 2, "the second apply");
  });

  test("is applied again when it changed during a write", async () => {
    pem = "first";
    server.intercept = ({ method, body }) => {
      if (method !== "PATCH" || pem !== "first") return undefined;
      pem = "second";
      keeper.changed();
      // Nothing else will happen that would make it look.
      return { status: 200, body: body as object };
    };
    const webhooks = [{ name: "a.x", clientConfig: {} }];
    server.storage.create(KIND, undefined, { metadata: { name: "tulle-injector" }, webhooks } as never);
    await until(() => applied().length >= 2, "the second apply");
    const clientConfig = { caBundle: Buffer.from("second").toString("base64") };
    expect(applied()[1]?.body).toMatchObject({ webhooks: [{ name: "a.x", clientConfig }] });
  });
});
