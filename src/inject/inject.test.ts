import { describe, expect, test } from "bun:test";
import { parseAllDocuments, stringify } from "yaml";
import { applyPatch, InjectError, injectManifest, injectPod } from "./index.ts";
import { CORPUS, POD, PROBED } from "./manifests.fixture.ts";

const CONFIG = {
  image: "tulle:latest",
  version: "0.1.0",
  trustDomain: "cluster.local",
  operatorAddress: "tulle-operator.tulle-system.svc:15012",
};
const inject = (text: string) => injectManifest(text, CONFIG, "app.yaml");
const parseAll = (text: string) => {
  const documents = parseAllDocuments(text);
  return "empty" in documents
    ? []
    : documents.map((document) => {
        expect(document.errors).toEqual([]);
        return document.toJS() as unknown;
      });
};

/** Every byte of `before` is in `after`, in its order (but for a written-out null, which is what it makes room for). */
function onlyInserted(before: string, after: string): void {
  const kept = before.replace(/: (~|null)$/gm, ": ");
  let at = 0;
  for (const byte of kept) {
    at = after.indexOf(byte, at) + 1;
    if (at === 0) throw new Error(`lost after ${JSON.stringify(after.slice(-80))}`);
  }
}

/** Only a text has a record of where it was spliced. */
function withoutRecord(object: unknown): unknown {
  return JSON.parse(JSON.stringify(object), (key, value: unknown) =>
    key === "tulle.dev/original" ? undefined : value,
  );
}

/** The text is meshed as the patch says, nothing of it is lost, and a second run changes nothing. */
function holds(text: string): string {
  const { text: meshed } = inject(text);
  const wanted = parseAll(text).map((object) => {
    const { kind } = (object ?? {}) as { kind?: string };
    if (kind === "Pod") {
      const made = injectPod(object as never, CONFIG);
      return made.outcome === "injected" ? applyPatch(object, made.patch) : object;
    }
    if (kind !== "Deployment") return object;
    const { spec } = object as { spec: { template: never } };
    const made = injectPod(spec.template, CONFIG);
    return made.outcome === "injected"
      ? { ...(object as object), spec: { ...spec, template: applyPatch(spec.template, made.patch) } }
      : object;
  });
  expect(parseAll(meshed).map(withoutRecord)).toEqual(wanted.map(withoutRecord));
  expect(inject(meshed).text).toBe(meshed);
  return meshed;
}

describe("injectManifest keeps every byte and meshes", () => {
  test.each(CORPUS)("%s", (_name, text) => {
    const meshed = holds(text);
    onlyInserted(text, meshed);
    expect(meshed).toContain("tulle-init");
  });

  test.each(PROBED)("%s", (_name, text) => {
    expect(holds(text)).toContain("TULLE_PROBES");
  });

  test("a List of hundreds takes a time that grows with its length, not with its square", () => {
    const item = `- ${POD.trimEnd().replaceAll("\n", "\n  ")}\n`;
    const { results } = inject(`apiVersion: v1\nkind: List\nitems:\n${item.repeat(800)}`);
    expect(results).toHaveLength(800);
  }, 20_000);

  test("a List and every kind that holds pods", () => {
    const pod = { spec: { containers: [{ name: "a", image: "b" }] } };
    const kinds = [
      { kind: "StatefulSet", spec: { template: pod } },
      { kind: "DaemonSet", spec: { template: pod } },
      { kind: "ReplicaSet", spec: { template: pod } },
      { kind: "ReplicationController", spec: { template: pod } },
      { kind: "Job", spec: { template: pod } },
      { kind: "CronJob", spec: { jobTemplate: { spec: { template: pod } } } },
      { kind: "ConfigMap" },
    ].map((object, index) => ({ apiVersion: "x/v1", metadata: { name: `n${index}` }, ...object }));
    const text = stringify({ apiVersion: "v1", kind: "List", items: kinds }, { aliasDuplicateObjects: false });
    const made = inject(text);
    expect(made.results.map((one) => [one.kind, one.outcome])).toEqual(
      kinds.slice(0, 6).map((one) => [one.kind, "injected"]),
    );
    onlyInserted(text, made.text);
    expect(made.text.match(/name: tulle-proxy/g)).toHaveLength(6);
    expect(inject(made.text).text).toBe(made.text);
  });

  test("500 documents", () => {
    const many = Array.from({ length: 500 }, (_, index) => POD.replace("name: app #", `name: app-${index} #`)).join(
      "---\n",
    );
    expect(inject(many).results).toHaveLength(500);
  }, 60_000);
});

describe("the meshed pod", () => {
  const meshed = parseAll(inject(`${POD}  initContainers: [{name: prepare, image: x}]\n`).text)[0] as {
    metadata: { annotations: object };
    spec: { initContainers: Record<string, never>[] };
  };
  test("has our init container first and the sidecar second, before the user's own", () => {
    expect(meshed.spec.initContainers.map((one) => one["name"] as unknown)).toEqual([
      "tulle-init",
      "tulle-proxy",
      "prepare",
    ]);
    expect(meshed.metadata.annotations).toEqual({
      "tulle.dev/original": expect.stringContaining('"cuts"') as unknown,
      "tulle.dev/injected": "0.1.0",
      "kubectl.kubernetes.io/default-container": "app",
      "kubectl.kubernetes.io/default-logs-container": "app",
    });
  });
  test("gives the init container NET_ADMIN alone, and the sidecar nothing", () => {
    const [init, proxy] = meshed.spec.initContainers as unknown as [
      { securityContext: object },
      { securityContext: object; restartPolicy: string },
    ];
    expect(init.securityContext).toMatchObject({
      capabilities: { add: ["NET_ADMIN"], drop: ["ALL"] },
      runAsUser: 0,
      runAsNonRoot: false,
      privileged: false,
    });
    expect(proxy.securityContext).toMatchObject({
      capabilities: { drop: ["ALL"] },
      runAsUser: 1337,
      runAsNonRoot: true,
      readOnlyRootFilesystem: true,
    });
    expect(proxy.restartPolicy).toBe("Always");
  });
  test("passes skip ports on to init, normalised", () => {
    const text = POD.replace(
      "  labels: {app: app}",
      '  annotations: {tulle.dev/skip-outbound-ports: " 3306, 8000-8010 ", tulle.dev/skip-inbound-ports: ""}',
    );
    expect(inject(text).text).toContain("--skip-outbound-ports=3306,8000-8010");
    expect(inject(text).text).not.toContain("--skip-inbound-ports");
  });
});

describe("injectManifest refuses, naming file, line and object,", () => {
  const codeOf = (text: string) => {
    try {
      inject(text);
    } catch (error) {
      if (!(error instanceof InjectError)) throw error;
      expect(error.exitCode).toBe(2);
      expect(error.message).toMatch(/^app\.yaml:\d+:\d+: /);
      return error.code;
    }
    return "accepted";
  };
  const annotated = (annotation: string) => POD.replace("  labels: {app: app}", `  annotations: {${annotation}}`);
  const cases: [string, string, string][] = [
    ["hostNetwork", `${POD}  hostNetwork: true\n`, "host-network"],
    ["a container as user 1337", `${POD}      securityContext: {runAsUser: 1337}\n`, "proxy-uid"],
    ["a pod as user 1337", `${POD}  securityContext: {runAsUser: 1337}\n`, "proxy-uid"],
    ["port 15000", `${POD}      ports: [{containerPort: 15000}]\n`, "reserved-port"],
    ["port 15021", `${POD}      ports: [{containerPort: 15021}]\n`, "reserved-port"],
    ["host port 15006", `${POD}      ports: [{containerPort: 80, hostPort: 15006}]\n`, "reserved-port"],
    ["another mesh's container", `${POD}    - {name: istio-proxy, image: x}\n`, "other-mesh"],
    ["another mesh's annotation", annotated("linkerd.io/proxy-version: x"), "other-mesh"],
    ["our volume's name", `${POD}  volumes: [{name: tulle-run, emptyDir: {}}]\n`, "name-taken"],
    ["our container's name", `${POD}    - {name: tulle-proxy, image: x}\n`, "name-taken"],
    ["a Windows pod", `${POD}  os: {name: windows}\n`, "not-linux"],
    ["no containers", "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {}\n", "bad-pod"],
    ["a loosening mode", annotated("tulle.dev/mode: permissive"), "bad-annotation"],
    ["an unknown mode", annotated("tulle.dev/mode: open"), "bad-annotation"],
    ["a bad port", annotated('tulle.dev/skip-inbound-ports: "70000"'), "bad-annotation"],
    ["a reversed range", annotated('tulle.dev/skip-inbound-ports: "90-80"'), "bad-annotation"],
    ["ports that are no text", annotated("tulle.dev/skip-outbound-ports: 80"), "bad-annotation"],
    ["an unknown log level", annotated("tulle.dev/log-level: loud"), "bad-annotation"],
    ["an unknown word in the pod's label", POD.replace("{app: app}", "{tulle.dev/inject: maybe}"), "bad-label"],
    ["a probe of the sidecar's port", `${POD}      livenessProbe: {tcpSocket: {port: 15008}}\n`, "reserved-port"],
    [
      "a probe shared by an alias",
      `${POD}      livenessProbe: &p {tcpSocket: {port: 1}}\n      readinessProbe: *p\n`,
      "shared-node",
    ],
    ["a handler shared by an alias", `${POD}      livenessProbe: {grpc: &p {port: 1}}\n      x: *p\n`, "shared-node"],
    [
      "a handler with an explicit key",
      `${POD}      livenessProbe:\n        ? tcpSocket\n        : {port: 1}\n`,
      "odd-yaml",
    ],
    [
      "a handler from a merge key",
      `${POD}      x: &p {tcpSocket: {port: 1}}\n      livenessProbe: {<<: *p}\n`,
      "odd-yaml",
    ],
    ["metadata that is no map", POD.replace(/metadata:\n.*\n.*\n/, "metadata: 0\n"), "bad-pod"],
    ["annotations that are no map", POD.replace("{app: app}", "{}\n  annotations: [a]"), "bad-pod"],
    ["malformed YAML", "kind: [Pod\n", "malformed-yaml"],
    ["a duplicate key", "kind: Pod\nkind: Pod\n", "malformed-yaml"],
    ["an alias without an anchor", "kind: Pod\nspec: *none\n", "malformed-yaml"],
    [
      "aliases that multiply",
      `kind: Pod\na: &a [1,1,1,1,1,1]\nb: &b [*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b]\nd: [*c,*c,*c,*c,*c,*c]\n`,
      "malformed-yaml",
    ],
    [
      "a spec shared by an alias",
      `apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: &s\n  containers: [{name: a, image: b}]\nother: *s\n`,
      "shared-node",
    ],
    [
      "a spec that is an alias",
      `apiVersion: v1\nkind: Pod\nother: &s\n  containers: [{name: a, image: b}]\nmetadata: {name: a}\nspec: *s\n`,
      "shared-node",
    ],
  ];
  test.each(cases)("%s", (_name, text, code) => {
    expect(codeOf(text)).toBe(code);
  });
  test("nothing about ports next to the reserved ones", () => {
    expect(codeOf(`${POD}      ports: [{containerPort: 14999}, {containerPort: 15022}]\n`)).toBe("accepted");
  });
  test("nor a pod that opted out, whatever it does", () => {
    const text = `${POD.replace("{app: app}", "{tulle.dev/inject: disabled}")}  hostNetwork: true\n`;
    expect(inject(text)).toMatchObject({ text, results: [{ outcome: "disabled" }] });
  });
});
