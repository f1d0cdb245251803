/** The mesh has one root, made once; a CA store that somebody deleted or edited stops the signing until it is restored. */
import { expect } from "bun:test";
import { type ClusterNamespace, eventually } from "../support/cluster.ts";
import { install, uninstall } from "../support/install.ts";
import { cleanUp, holds, Mesh, prepare } from "../support/mesh.ts";
import { app, curl, podOf, server, service, url } from "../support/mesh-apps.ts";
import { SYSTEM } from "../support/names.ts";

const SECRET = "secret/tulle-ca";
let mesh: Mesh;
let space: ClusterNamespace;
/** The Secret as it should be, for `kubectl apply`. */
let backup = "";
let roots = "";

prepare(async () => {
  mesh = await Mesh.find();
}, 180_000);
cleanUp(async () => {
  if (backup !== "") await restore();
  await mesh?.operatorReady();
  await space?.[Symbol.asyncDispose]();
});

const published = () => mesh.system(["get", "configmap/tulle-trust-bundle", "-o", "jsonpath={.data}"]);

async function save(): Promise<string> {
  const secret = JSON.parse(await mesh.system(["get", SECRET, "-o", "json"])) as Record<string, unknown>;
  const { apiVersion, kind, type, data } = secret;
  const metadata = { name: "tulle-ca", namespace: SYSTEM, labels: { "app.kubernetes.io/part-of": "tulle" } };
  return JSON.stringify({ apiVersion, kind, type, metadata, data });
}
/** Nothing is spoilt that could not be restored. */
function haveBackup(): void {
  if (backup === "") throw new Error("the first test of this file has not come as far as the backup");
}
async function restore(): Promise<void> {
  await mesh.cluster.kubectl(["apply", "-f", "-"], { input: backup });
}
/** Until that many replicas sign. */
async function signing(count: number): Promise<void> {
  await eventually(
    async () => ((await mesh.operatorMetric("tulle_operator_signing")) === count ? true : undefined),
    60_000,
  );
}
async function answers(): Promise<void> {
  const grown = await mesh.growth(space, "client", "outbound mtls", async () => {
    expect(await space.exec("client", ...curl(url("server")))).toStartWith("server ");
  });
  expect(grown).toBe(1);
}

holds(
  "two replicas that start on a cluster without a CA make one between them",
  async () => {
    await uninstall(mesh.cluster);
    await install(mesh.cluster);
    await mesh.operatorReady();
    const logs = await mesh.operatorLogs();
    expect(logs.match(/"message":"authority made"/g)).toHaveLength(1);
    const keys = [...logs.matchAll(/"message":"ready","rootKeyId":"(\w+)"/g)].map(([, key]) => key);
    expect(keys).toHaveLength(2);
    expect(new Set(keys).size).toBe(1);
    const bundle = JSON.parse(await published()) as Record<string, string>;
    expect(Object.values(bundle)[0]?.match(/BEGIN CERTIFICATE/g)).toHaveLength(1);

    backup = await save();
    roots = await published();
    space = await mesh.meshed("ca");
    await space.apply(podOf("server", server()), service("server"), podOf("client", app(["idle"])));
    await space.ready(["server", "client"]);
    await answers();
  },
  240_000,
);

for (const [what, name, spoil] of [
  ["edited", "new-beside-edited", ["patch", SECRET, "-p", '{"data":{"authority.json":"eyJub3QiOiJvdXJzIn0="}}']],
  ["deleted", "new-beside-deleted", ["delete", SECRET]],
] as const) {
  holds(
    `a CA Secret that was ${what} stops the signing, is told with its way back, and goes on when restored`,
    async () => {
      haveBackup();
      await mesh.system(spoil);
      await signing(0);
      const logs = await mesh.operatorLogs();
      expect(logs).toContain("nothing is signed any more");
      expect(logs).toContain("Restore the Secret tulle-ca from a backup");
      // Who has a certificate goes on; who has none waits, and is not restarted for it.
      await answers();
      await space.apply(podOf(name, app(["idle"])));
      await eventually(async () => {
        const log = await space.kubectl(["logs", name, "-c", "tulle-proxy"]);
        return /certificate.*ca-store-/.test(log) ? true : undefined;
      }, 60_000);
      await restore();
      await signing(2);
      await space.ready([name]);
      expect(await space.get(`pod/${name}`, ".status.initContainerStatuses[1].restartCount")).toBe("0");
      expect(await published()).toBe(roots);
    },
    240_000,
  );
}

holds(
  "replicas that start without the Secret make no second root: they are not ready, and say why",
  async () => {
    haveBackup();
    await mesh.system(["delete", SECRET]);
    await mesh.system(["delete", "pods", "-l", "app.kubernetes.io/component=operator", "--grace-period=0", "--force"]);
    await eventually(async () => {
      const logs = await mesh.operatorLogs();
      return logs.split("no authority: nothing is signed").length > 2 && logs.includes("Restore the Secret")
        ? true
        : undefined;
    }, 60_000);
    const endpoints = await mesh.system(["get", "endpoints/tulle-operator", "-o", "jsonpath={.subsets[*].addresses}"]);
    expect(endpoints).toBe("");
    expect((await mesh.cluster.tryKubectl(["-n", SYSTEM, "get", SECRET])).status).not.toBe(0);
    await answers();
    await restore();
    await mesh.operatorReady();
    await signing(2);
    expect(await published()).toBe(roots);
    await answers();
  },
  240_000,
);
