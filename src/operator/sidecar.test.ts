/** The sidecar's own gRPC client against the real operator: certificates, discovery and reports as a pod has them. */
import { expect, test } from "bun:test";
import { systemClock, systemRandom } from "../cli/system.ts";
import { OPERATOR_HOST } from "../mesh/index.ts";
import { DeltaStream, type ResourceType } from "../proxy/delta-stream.ts";
import { EdgeTable } from "../proxy/edges.ts";
import { GrpcClient } from "../proxy/grpc-client.ts";
import { GrpcError, STATUS } from "../proxy/grpc-status.ts";
import { Metrics } from "../proxy/metrics.ts";
import { Reporter } from "../proxy/reports.ts";
import { endpointsRecord, podRecord, serviceRecord } from "../testkit/mesh-records.ts";
import { csrPem, OperatorStage } from "../testkit/operator-stage.ts";
import { addressFromWire, METHODS, TYPE_URLS } from "../wire/index.ts";

const POD = podRecord("web", "10.244.0.2");

function clientOf(stage: OperatorStage, token: string): GrpcClient {
  return new GrpcClient({
    address: { host: "127.0.0.1", port: stage.operator.port, serverName: OPERATOR_HOST },
    clock: systemClock,
    roots: async () => stage.authority.bundle().pem(),
    token: async () => token,
  });
}

/** One type whose state is a map, and a wait for it to be as wanted. */
function follow(typeUrl: string, names: readonly string[]) {
  const held = new Map<string, { readonly version: string; readonly value: Uint8Array }>();
  const absent = new Set<string>();
  const waiting = new Set<() => void>();
  const type: ResourceType = {
    typeUrl,
    names: () => names,
    versions: () => new Map([...held].map(([name, { version }]) => [name, version])),
    apply(resources, removed) {
      for (const name of removed) {
        held.delete(name);
        absent.add(name);
      }
      for (const { name, version, resource } of resources) {
        held.set(name, { version, value: resource?.value ?? new Uint8Array() });
      }
      for (const look of [...waiting]) look();
      return [];
    },
  };
  const until = (wanted: () => boolean) =>
    new Promise<void>((resolve) => {
      const look = () => {
        if (!wanted()) return;
        waiting.delete(look);
        resolve();
      };
      waiting.add(look);
      look();
    });
  return { type, held, absent, until };
}

test("a sidecar gets a certificate, follows the addresses that it meets, and reports", async () => {
  using stage = new OperatorStage();
  using grpc = clientOf(stage, stage.add(POD));
  const { clock, random, logger } = { clock: systemClock, random: systemRandom, logger: stage.logger };

  const csr = csrPem("spiffe://cluster.local/ns/shop/sa/web");
  const request = { csr, validityDuration: 0, metadata: undefined };
  expect((await grpc.unary(METHODS.createCertificate, request, 5_000)).certChain).toHaveLength(3);
  const foreign = { ...request, csr: csrPem("spiffe://cluster.local/ns/shop/sa/db") };
  const refused = await grpc.unary(METHODS.createCertificate, foreign, 5_000).catch((error: unknown) => error);
  expect(refused).toBeInstanceOf(GrpcError);
  expect((refused as GrpcError).status.code).toBe(STATUS.permissionDenied);

  const settings = follow(TYPE_URLS.settings, ["default"]);
  const addresses = follow(TYPE_URLS.address, ["/10.96.0.1", "/10.244.0.9"]);
  const node = { id: "sidecar~10.244.0.2~web.shop~shop.svc.cluster.local", cluster: "", metadata: {} };
  using stream = new DeltaStream({ grpc, node, types: [settings.type, addresses.type], clock, random, logger });
  stream.start();
  await settings.until(() => settings.held.has("default"));
  await addresses.until(() => addresses.absent.size === 2);

  const api = podRecord("api", "10.244.0.9");
  stage.add(api);
  stage.services.set("shop/api", serviceRecord("api", "10.96.0.1"));
  stage.endpoints.set("shop/api", endpointsRecord("api", [api]));
  await addresses.until(() => addresses.held.has("uid-api") && addresses.held.has("shop/api.shop.svc.cluster.local"));
  await addresses.until(() => {
    const address = addressFromWire(addresses.held.get("uid-api")?.value ?? new Uint8Array());
    return address.kind === "workload" && Object.keys(address.workload.services).length === 1;
  });
  stage.remove(api);
  await addresses.until(() => !addresses.held.has("uid-api"));

  const acknowledged = Promise.withResolvers<void>();
  stage.operator.reports.follow((change) => {
    if (change.kind === "set" && change.value.connected) acknowledged.resolve();
  });
  const sources = {
    version: "1.0.0",
    metrics: new Metrics(),
    edges: new EdgeTable(clock),
    bundleSequence: () => 1,
    reissueEpoch: () => 0,
    certificate: () => undefined,
    draining: () => false,
  };
  using reporter = new Reporter({ grpc, sources, clock, random, logger });
  reporter.start();
  await acknowledged.promise;
  const report = stage.operator.reports.get("uid-web");
  expect(report).toMatchObject({ connected: true, pod: "web", batch: { proxyVersion: "1.0.0", bundleSequence: 1 } });
  expect(Math.abs(report?.clockSkew ?? Number.NaN)).toBeLessThan(60_000);
});
