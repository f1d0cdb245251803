/** The operator as a stranger meets it: grpc-js and openssl, which know nothing of Tulle. */
import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as grpc from "@grpc/grpc-js";
import { OPERATOR_HOST } from "../mesh/index.ts";
import type { FakeTokenReviewer } from "../testkit/fake-token-reviewer.ts";
import { endpointsRecord, podRecord, serviceRecord } from "../testkit/mesh-records.ts";
import {
  bearer,
  ClientStream,
  csrPem,
  discoveryRequest,
  OperatorStage,
  reportBatch,
  unary,
} from "../testkit/operator-stage.ts";
import { addressFromWire, type DeltaDiscoveryResponse, METHODS, TYPE_URLS } from "../wire/index.ts";
import { MOST_STREAMS_OF_A_POD } from "./open-streams.ts";

const POD = podRecord("web", "10.244.0.2");
const ID = "spiffe://cluster.local/ns/shop/sa/web";
const { address } = TYPE_URLS;

const directory = mkdtempSync(join(tmpdir(), "tulle-operator-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** Runs openssl and answers all that it says. */
async function openssl(args: readonly string[], input = ""): Promise<string> {
  const child = Bun.spawn(["openssl", ...args], { stdin: Buffer.from(input), stdout: "pipe", stderr: "pipe" });
  const [out, err] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return out + err;
}

function discovery(client: grpc.Client, token: string, reading = true) {
  return new ClientStream(client, METHODS.deltaAggregatedResources, bearer(token), reading);
}

function reports(client: grpc.Client, token: string) {
  return new ClientStream(client, METHODS.pushReports, bearer(token));
}

function certificate(client: grpc.Client, metadata: grpc.Metadata, csr = csrPem(ID)) {
  return unary(client, METHODS.createCertificate, { csr, validityDuration: 3_600, metadata: undefined }, metadata);
}

/** The error with which the call ends. */
function errorOf(call: Promise<unknown>): Promise<grpc.ServiceError> {
  return call.then(
    () => Promise.reject(new Error("the call was not refused")),
    (error: grpc.ServiceError) => error,
  );
}

function resourceNames(response: DeltaDiscoveryResponse): string[] {
  return response.resources.map((one) => one.name).sort();
}

/** The next change of the store of reports that is as wanted. */
function reported(stage: OperatorStage, wanted: () => boolean): Promise<void> {
  return new Promise((resolve) => {
    const following = stage.operator.reports.follow(() => {
      if (!wanted()) return;
      following[Symbol.dispose]();
      resolve();
    });
  });
}

describe("a stranger with grpc-js", () => {
  test("gets a certificate that openssl verifies", async () => {
    using stage = new OperatorStage();
    const { certChain } = await certificate(stage.client(), bearer(stage.add(POD)));
    const [leaf = "", intermediate = "", roots = ""] = certChain;
    const files = { leaf, intermediate, roots };
    for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text);
    const at = (name: string) => join(directory, name);
    const verified = await openssl([
      ...["verify", "-x509_strict", "-purpose", "sslclient", "-CAfile", at("roots"), "-untrusted", at("intermediate")],
      at("leaf"),
    ]);
    expect(verified).toContain("leaf: OK");
    expect(await openssl(["x509", "-in", at("leaf"), "-noout", "-ext", "subjectAltName"])).toContain(`URI:${ID}`);
  });

  test("is told of everything, and of each address that it asks for", async () => {
    using stage = new OperatorStage();
    const token = stage.add(POD);
    stage.services.set("shop/api", serviceRecord("api", "10.96.0.1"));
    stage.endpoints.set("shop/api", endpointsRecord("api", [POD]));
    const client = stage.client();
    const everything = discovery(client, token);
    everything.send(discoveryRequest({ typeUrl: address }));
    expect(resourceNames(await everything.next())).toEqual(["shop/api.shop.svc.cluster.local", "uid-web"]);
    const onDemand = discovery(client, token);
    onDemand.send(discoveryRequest({ typeUrl: address, resourceNamesSubscribe: ["/10.244.0.2", "/10.244.0.9"] }));
    const answer = await onDemand.next();
    expect([resourceNames(answer), answer.removedResources]).toEqual([["uid-web"], ["/10.244.0.9"]]);
    const resource = answer.resources[0]?.resource?.value;
    expect(addressFromWire(resource ?? new Uint8Array())).toMatchObject({ workload: { uid: "uid-web", name: "web" } });
    onDemand.send(discoveryRequest({ typeUrl: address, responseNonce: answer.nonce }));
    stage.pods.set("shop/new", podRecord("new", "10.244.0.9"));
    expect(resourceNames(await onDemand.next())).toEqual(["uid-new"]);
    onDemand.call.end();
    expect((await onDemand.ended).code).toBe(grpc.status.OK);
  });

  test("has its reports acknowledged, and is known as gone when it goes", async () => {
    using stage = new OperatorStage();
    const stream = reports(stage.client(), stage.add(POD));
    stream.send(reportBatch({ sequence: 7, bundleSequence: 3 }));
    expect(await stream.next()).toEqual({ sequence: 7 });
    expect(stage.operator.reports.get("uid-web")).toMatchObject({ connected: true, batch: { bundleSequence: 3 } });
    const gone = reported(stage, () => stage.operator.reports.get("uid-web")?.connected === false);
    stream.call.cancel();
    await gone;
  });

  test("that vanishes with its connection is known as gone", async () => {
    using stage = new OperatorStage();
    const client = stage.client();
    const stream = reports(client, stage.add(POD));
    stream.send(reportBatch());
    await stream.next();
    const gone = reported(stage, () => stage.operator.reports.get("uid-web")?.connected === false);
    client.close();
    stream.call.cancel();
    await gone;
  });

  test("is refused with what a hostile proxy reports, and told what it may know", async () => {
    using stage = new OperatorStage();
    const stream = reports(stage.client(), stage.add(POD));
    const leaf = { serial: "no serial", issuerKeyId: "ff", notAfterMillis: 1, epoch: 0 };
    stream.send(reportBatch({ leaf }));
    const { code, details } = await stream.ended;
    expect(code).toBe(grpc.status.INVALID_ARGUMENT);
    expect(details).toStartWith("bad-report: ");
  });

  test("cannot flood the operator with reports", async () => {
    using stage = new OperatorStage();
    const stream = reports(stage.client(), stage.add(POD));
    for (let sequence = 1; sequence <= 200; sequence++) stream.send(reportBatch({ sequence }));
    expect(await stream.ended).toMatchObject({ code: grpc.status.RESOURCE_EXHAUSTED });
    expect(stream.received.length).toBeLessThan(100);
  });
});

describe("what a token opens", () => {
  type Case = readonly [string, (reviewer: FakeTokenReviewer) => grpc.Metadata, grpc.status, string];
  const cases: readonly Case[] = [
    ["no token", () => new grpc.Metadata(), grpc.status.UNAUTHENTICATED, "token-missing"],
    ["a token without end", () => bearer("x".repeat(17_000)), grpc.status.UNAUTHENTICATED, "token-too-long"],
    ["an unknown token", () => bearer("stolen"), grpc.status.UNAUTHENTICATED, "token-invalid"],
    [
      "another audience",
      (reviewer) => bearer(reviewer.tokenOf(POD, { audiences: ["other"] })),
      grpc.status.UNAUTHENTICATED,
      "token-audience",
    ],
    [
      "an unknown pod",
      (reviewer) => bearer(reviewer.tokenOf(podRecord("new", "10.244.0.3"))),
      grpc.status.UNAVAILABLE,
      "pod-unknown",
    ],
    [
      "an earlier pod",
      (reviewer) => bearer(reviewer.tokenOf(POD, { podUid: "uid-old" })),
      grpc.status.PERMISSION_DENIED,
      "pod-replaced",
    ],
  ];

  test.each(cases)("nothing for %s: each service refuses it with the same word", async (_what, make, code, reason) => {
    using stage = new OperatorStage();
    stage.add(POD);
    const client = stage.client();
    const metadata = make(stage.reviewer);
    const refused: { code: number; details: string }[] = [
      await errorOf(certificate(client, metadata)),
      await new ClientStream(client, METHODS.deltaAggregatedResources, metadata).ended,
      await new ClientStream(client, METHODS.pushReports, metadata).ended,
    ];
    for (const one of refused) {
      expect(one.code).toBe(code);
      expect(one.details).toStartWith(`${reason}: `);
    }
    expect(stage.logger.of("call refused").map((line) => line.fields["reason"])).toEqual([reason, reason, reason]);
  });

  test("nothing while nobody can be asked, and no word on whom", async () => {
    using stage = new OperatorStage();
    const token = stage.add(POD);
    stage.reviewer.down = true;
    const error = await errorOf(certificate(stage.client(), bearer(token)));
    expect([error.code, error.details]).toEqual([
      grpc.status.UNAVAILABLE,
      "review-failed: the token could not be reviewed now",
    ]);
    expect(stage.logger.of("call refused")[0]?.fields["cause"]).toContain("connection refused");
  });

  test("nothing for a defect but a line in the log", async () => {
    using stage = new OperatorStage();
    const token = stage.add(POD);
    stage.reviewer.review = async () => ({ authenticated: true }) as never;
    const error = await errorOf(certificate(stage.client(), bearer(token)));
    expect([error.code, error.details]).toEqual([grpc.status.INTERNAL, "defect: the operator failed; see its log"]);
    expect(stage.logger.of("call refused")[0]).toMatchObject({ level: "error", fields: { reason: "defect" } });
  });

  test("no certificate for another's name", async () => {
    using stage = new OperatorStage();
    const other = csrPem("spiffe://cluster.local/ns/shop/sa/db");
    const error = await errorOf(certificate(stage.client(), bearer(stage.add(POD)), other));
    expect(error.code).toBe(grpc.status.PERMISSION_DENIED);
    expect(error.details).toStartWith("csr-san-mismatch: ");
  });
});

describe("a pod that goes", () => {
  test.each([
    ["is deleted", (stage: OperatorStage) => stage.remove(POD)],
    ["has ended", (stage: OperatorStage) => stage.add({ ...POD, finished: true })],
    ["is replaced", (stage: OperatorStage) => stage.add({ ...POD, uid: "uid-second" })],
  ])("loses its streams: it %s", async (_what, go) => {
    using stage = new OperatorStage();
    const token = stage.add(POD);
    const client = stage.client();
    const streams = [discovery(client, token), reports(client, token)] as const;
    streams[0].send(discoveryRequest({ typeUrl: address }));
    streams[1].send(reportBatch());
    await Promise.all([streams[0].next(), streams[1].next()]);
    go(stage);
    for (const { ended } of streams) {
      expect(await ended).toMatchObject({
        code: grpc.status.PERMISSION_DENIED,
        details: "pod-gone: the pod is gone",
      });
    }
  });

  test("between the review of its token and its stream gets none", async () => {
    for (let ticks = 0; ticks < 8; ticks++) {
      using stage = new OperatorStage();
      const token = stage.add(POD);
      const review = stage.reviewer.review.bind(stage.reviewer);
      stage.reviewer.review = async (...args) => {
        const answer = await review(...args);
        (async () => {
          for (let i = 0; i < ticks; i++) await Promise.resolve();
          stage.remove(POD);
        })();
        return answer;
      };
      const stream = reports(stage.client(), token);
      stream.send(reportBatch());
      const { code } = await stream.ended;
      expect([grpc.status.PERMISSION_DENIED, grpc.status.UNAVAILABLE]).toContain(code);
      expect([...stage.operator.reports.keys()]).toEqual([]);
    }
  });

  test("leaves the streams of others alone", async () => {
    using stage = new OperatorStage();
    stage.add(POD);
    const stream = reports(stage.client(), stage.add(podRecord("db", "10.244.0.3")));
    stream.send(reportBatch());
    await stream.next();
    stage.remove(POD);
    stream.send(reportBatch({ sequence: 2 }));
    expect(await stream.next()).toEqual({ sequence: 2 });
  });
});

describe("a pod's settings", () => {
  test("are pushed when its mode changes, and to all when every proxy must renew", async () => {
    using stage = new OperatorStage();
    const stream = discovery(stage.client(), stage.add(POD));
    const typeUrl = TYPE_URLS.settings;
    stream.send(discoveryRequest({ typeUrl, resourceNamesSubscribe: ["default"] }));
    const first = await stream.next();
    stage.add({ ...POD, mode: "strict" });
    stream.send(discoveryRequest({ typeUrl, responseNonce: first.nonce }));
    const second = await stream.next();
    expect(second.resources[0]?.version).not.toBe(first.resources[0]?.version as string);
    stream.send(discoveryRequest({ typeUrl, responseNonce: second.nonce }));
    expect(stage.operator.reissue()).toBe(1);
    expect((await stream.next()).typeUrl).toBe(typeUrl);
  });
});

describe("a hostile pod", () => {
  test("keeps its newest streams, and no more than a few", async () => {
    using stage = new OperatorStage();
    const token = stage.add(POD);
    const client = stage.client();
    const first = discovery(client, token);
    first.send(discoveryRequest({ typeUrl: address }));
    await first.next();
    for (let i = 0; i < MOST_STREAMS_OF_A_POD; i++) {
      const stream = discovery(client, token);
      stream.send(discoveryRequest({ typeUrl: address }));
      await stream.next();
    }
    expect(await first.ended).toMatchObject({ code: grpc.status.RESOURCE_EXHAUSTED });
  });

  test("that reads nothing and asks on is ended", async () => {
    using stage = new OperatorStage();
    const token = stage.add(POD);
    for (let i = 0; i < 3_000; i++) stage.pods.set(`shop/p${i}`, podRecord(`p${i}`, `10.1.${i >> 8}.${i & 255}`));
    const stream = discovery(stage.client(), token, false);
    for (let i = 0; i < 200; i++) {
      stream.send(discoveryRequest({ typeUrl: address, resourceNamesSubscribe: ["*"] }));
    }
    // The refusal waits behind what is not read; the log has it at once.
    const { log } = stage.logger;
    await new Promise<void>((resolve) => {
      stage.logger.log = (...line) => {
        log.apply(stage.logger, line);
        if (line[2]?.["reason"] === "unacknowledged") resolve();
      };
    });
    stream.call.cancel();
    await stream.ended;
  });

  test.each([
    ["no protobuf", Buffer.from("ffffffff", "hex")],
    ["a number beyond JavaScript's", Buffer.from("08ffffffffffffffffff01", "hex")],
    ["a message that is cut off", Buffer.from("227f00", "hex")],
  ])("that sends %s ends its call and nothing else", async (_what, bytes) => {
    using stage = new OperatorStage();
    const token = stage.add(POD);
    const client = stage.client();
    const broken = { ...METHODS.pushReports, encodeRequest: () => bytes };
    const stream = new ClientStream(client, broken, bearer(token));
    stream.send(reportBatch());
    const { code } = await stream.ended;
    expect([grpc.status.INTERNAL, grpc.status.INVALID_ARGUMENT]).toContain(code);
    expect((await certificate(client, bearer(token))).certChain).toHaveLength(3);
  });

  test("that sends more than 4 MiB ends its call and nothing else", async () => {
    using stage = new OperatorStage();
    const token = stage.add(POD);
    const client = stage.client();
    const stream = discovery(client, token);
    stream.send(discoveryRequest({ typeUrl: address, resourceNamesSubscribe: ["x".repeat(5 * 1024 * 1024)] }));
    expect((await stream.ended).code).toBe(grpc.status.RESOURCE_EXHAUSTED);
    expect((await certificate(client, bearer(token))).certChain).toHaveLength(3);
  });
});

describe("openssl", () => {
  test("sees TLS 1.3, HTTP/2 and the operator's name, by a chain that it verifies", async () => {
    using stage = new OperatorStage();
    const roots = join(directory, "bundle");
    writeFileSync(roots, stage.authority.bundle().pem());
    const where = ["-connect", `127.0.0.1:${stage.operator.port}`, "-servername", OPERATOR_HOST, "-alpn", "h2"];
    const names = ["-verify_hostname", OPERATOR_HOST, "-verify_return_error", "-CAfile", roots];
    const said = await openssl(["s_client", ...where, ...names, "-showcerts"]);
    expect(said).toContain("TLSv1.3");
    expect(said).toContain("ALPN protocol: h2");
    expect(said).toContain("Verify return code: 0 (ok)");
    const [leaf = ""] = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/.exec(said) ?? [];
    const san = await openssl(["x509", "-noout", "-ext", "subjectAltName"], leaf);
    expect(san).toContain(`DNS:${OPERATOR_HOST}`);
    expect(san).toContain("URI:spiffe://cluster.local/ns/tulle-system/sa/tulle-operator");
    expect(san).toContain("IP Address:127.0.0.1");
  });
});
