/** The API server asks webhooks and policies before it takes an object, and checks what they say. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type ClusterNamespace,
  eventually,
  firstLine,
  LocalCluster,
  type Manifest,
  pod,
  run,
  SHELL,
} from "../../support/cluster.ts";

const WEBHOOK = join(import.meta.dir, "webhook.ts");
const cluster = await LocalCluster.find();
const { node } = cluster;
let space: ClusterNamespace;
/** Holds a certificate for this machine's address and for the Service `webhook`. */
let folder: string;

beforeAll(async () => {
  space = await cluster.namespace("admission");
  folder = mkdtempSync(join(tmpdir(), "tulle-admission-"));
  const names = [`DNS:webhook.${space.name}.svc`, `IP:${node.host.ipv4}`];
  await run([
    ...["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"],
    ...["-subj", "/CN=webhook", "-addext", `subjectAltName=${names.join()}`],
    ...["-keyout", join(folder, "tls.key"), "-out", join(folder, "tls.crt")],
  ]);
});
afterAll(async () => {
  rmSync(folder, { recursive: true });
  await space[Symbol.asyncDispose]();
});

/** Registers a webhook for this namespace's pods with the label inject=NAME. */
async function register(name: string, clientConfig: object): Promise<void> {
  const object = `${space.name}-${name}`;
  space.owns(`mutatingwebhookconfiguration/${object}`);
  await space.apply({
    apiVersion: "admissionregistration.k8s.io/v1",
    kind: "MutatingWebhookConfiguration",
    metadata: { name: object },
    webhooks: [
      {
        name: "inject.tulle.test",
        admissionReviewVersions: ["v1"],
        sideEffects: "None",
        failurePolicy: "Fail",
        timeoutSeconds: 5,
        namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": space.name } },
        objectSelector: { matchLabels: { inject: name } },
        rules: [{ apiGroups: [""], apiVersions: ["v1"], operations: ["CREATE"], resources: ["pods"] }],
        clientConfig: { ...clientConfig, caBundle: readFileSync(join(folder, "tls.crt")).toString("base64") },
      },
    ],
  });
}

/** The pod that the webhook makes of one that asks for it. The API server learns of a new webhook a moment late. */
async function expectInjection(name: string): Promise<void> {
  const manifest = pod(`injected-${name}`, { containers: [SHELL] }, { inject: name });
  await eventually(async () => {
    const shown = await space.kubectl(["create", "--dry-run=server", "-o", "json", "-f", "-"], {
      input: JSON.stringify(manifest),
    });
    return shown.includes('"mutated-by": "webhook"') ? true : undefined;
  });
  await space.apply(manifest);
  await space.ready([`injected-${name}`]);
  expect(await space.kubectl(["logs", `injected-${name}`, "-c", "injected"])).toBe("injected sidecar runs\n");
}

test("a webhook on this machine, by its URL, gives a pod a sidecar", async () => {
  const argv = [process.execPath, WEBHOOK, "0", join(folder, "tls.crt"), join(folder, "tls.key")];
  const webhook = Bun.spawn(argv, { stdout: "pipe" });
  try {
    const port = await firstLine(webhook.stdout);
    await register("url", { url: `https://${node.host.ipv4}:${port}/` });
    await expectInjection("url");
  } finally {
    webhook.kill();
    await webhook.exited;
  }
});

test("a webhook in a pod, by its Service, does the same", async () => {
  const secret = [
    "create",
    "secret",
    "generic",
    "webhook",
    ...["tls.crt", "tls.key"].map((file) => `--from-file=${join(folder, file)}`),
  ];
  await space.kubectl([...secret, `--from-file=${WEBHOOK}`]);
  await space.apply(
    pod(
      "webhook",
      {
        containers: [
          {
            name: "webhook",
            image: "tulle:local",
            // The compiled binary is Bun as well.
            env: [{ name: "BUN_BE_BUN", value: "1" }],
            args: ["run", "/webhook/webhook.ts", "8443", "/webhook/tls.crt", "/webhook/tls.key"],
            volumeMounts: [{ name: "webhook", mountPath: "/webhook" }],
            readinessProbe: { tcpSocket: { port: 8443 }, periodSeconds: 1 },
          },
        ],
        volumes: [{ name: "webhook", secret: { secretName: "webhook" } }],
      },
      { app: "webhook" },
    ),
    {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "webhook" },
      spec: { selector: { app: "webhook" }, ports: [{ port: 443, targetPort: 8443 }] },
    },
  );
  await space.ready(["webhook"]);
  await register("service", { service: { namespace: space.name, name: "webhook", path: "/" } });
  await expectInjection("service");
});

test("a ValidatingAdmissionPolicy refuses, with its message", async () => {
  const name = space.name;
  space.owns(`validatingadmissionpolicy/${name}`, `validatingadmissionpolicybinding/${name}`);
  await space.apply(
    {
      apiVersion: "admissionregistration.k8s.io/v1",
      kind: "ValidatingAdmissionPolicy",
      metadata: { name },
      spec: {
        failurePolicy: "Fail",
        matchConstraints: {
          resourceRules: [{ apiGroups: [""], apiVersions: ["v1"], operations: ["CREATE"], resources: ["pods"] }],
        },
        validations: [
          { expression: "!('forbidden' in object.metadata.?labels.orValue({}))", message: "this label is forbidden" },
        ],
      },
    },
    {
      apiVersion: "admissionregistration.k8s.io/v1",
      kind: "ValidatingAdmissionPolicyBinding",
      metadata: { name },
      spec: {
        policyName: name,
        validationActions: ["Deny"],
        matchResources: { namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": name } } },
      },
    },
  );
  const forbidden = JSON.stringify(pod("forbidden", { containers: [SHELL] }, { forbidden: "yes" }));
  const refused = await eventually(async () => {
    const answer = await space.tryKubectl(["create", "--dry-run=server", "-f", "-"], { input: forbidden });
    return answer.status === 0 ? undefined : answer.stderr;
  });
  expect(refused).toContain("this label is forbidden");
});

describe("custom resources", () => {
  test("the schema of a CustomResourceDefinition is enforced", async () => {
    const group = `${space.name}.test`;
    space.owns(`crd/things.${group}`);
    const mode = { type: "string", enum: ["STRICT", "PERMISSIVE"] };
    const spec = { type: "object", properties: { mode } };
    await space.apply({
      apiVersion: "apiextensions.k8s.io/v1",
      kind: "CustomResourceDefinition",
      metadata: { name: `things.${group}` },
      spec: {
        group,
        scope: "Namespaced",
        names: { plural: "things", singular: "thing", kind: "Thing" },
        versions: [
          {
            name: "v1",
            served: true,
            storage: true,
            subresources: { status: {} },
            schema: { openAPIV3Schema: { type: "object", properties: { spec } } },
          },
        ],
      },
    });
    await space.ready([`crd/things.${group}`], "condition=Established");
    const thing = (value: string): Manifest => ({
      apiVersion: `${group}/v1`,
      kind: "Thing",
      metadata: { name: value.toLowerCase() },
      spec: { mode: value },
    });
    await eventually(async () => ((await space.tryApply(thing("STRICT"))).status === 0 ? true : undefined));
    expect((await space.tryApply(thing("LOOSE"))).stderr).toContain("Unsupported value");
  });
});
