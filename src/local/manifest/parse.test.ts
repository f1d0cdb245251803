import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseManifests } from "./parse.ts";
import { formatProblem, ManifestError } from "./problems.ts";

const problemsOf = (text: string): string[] => {
  try {
    parseManifests([{ name: "app.yaml", text }]);
    return [];
  } catch (error) {
    if (error instanceof ManifestError) {
      expect(error.exitCode).toBe(2);
      return error.problems.map(formatProblem);
    }
    throw error;
  }
};
const pod = (spec: string, name = "app") => `apiVersion: v1
kind: Pod
metadata: { name: ${name}, labels: { app: ${name} } }
spec:
${spec.replace(/^/gm, "  ")}
`;
const CONTAINER = "containers: [{ name: app, image: x }]";

describe("parseManifests", () => {
  test("reads the examples", () => {
    for (const name of ["app.yaml", "app-meshed.yaml", "demo.yaml"]) {
      const text = readFileSync(join(import.meta.dir, "../../../examples", name), "utf8");
      const manifest = parseManifests([{ name, text }]);
      expect(manifest.objects.length).toBeGreaterThan(0);
      expect(manifest.notices).toEqual([]);
    }
  });

  test("puts objects without a namespace into default and keeps their position", () => {
    const { objects } = parseManifests([{ name: "app.yaml", text: `# comment\n---\n${pod(CONTAINER)}` }]);
    expect(objects[0]?.namespace).toBe("default");
    expect(objects[0]?.position).toEqual({ file: "app.yaml", line: 3, column: 1 });
  });

  test("asks for nothing else of an object that is to be deleted", () => {
    const service = `apiVersion: v1\nkind: Service\nmetadata: { name: web }\nspec: { selector: { app: web }, ports: [{ port: 80 }] }\n`;
    expect(problemsOf(service)).toEqual([expect.stringContaining("selects nothing")]);
    expect(parseManifests([{ name: "app.yaml", text: service }], { references: false }).objects).toHaveLength(1);
  });

  test("passes over documents that hold nothing but comments, as `helm template` makes them", () => {
    const text = `# Source: empty.yaml\n---\n# nothing\n---\nnull\n---\n${pod(CONTAINER)}`;
    expect(parseManifests([{ name: "app.yaml", text }]).objects).toHaveLength(1);
  });

  test("resolves merge keys as kubectl does: a map's own keys win, then the first source", () => {
    const labels = "labels: { <<: [*one, { b: second, c: second }], a: own }";
    const text = `apiVersion: v1\nkind: List\nx: &one { a: first, b: first }\nitems:\n- apiVersion: v1\n  kind: ConfigMap\n  metadata: { name: m, ${labels} }\n  data: { <<: *one }\n`;
    const [map] = parseManifests([{ name: "l", text }]).objects.map((one) => one.object);
    expect(map).toMatchObject({
      metadata: { labels: { a: "own", b: "first", c: "second" } },
      data: { a: "first", b: "first" },
    });
  });

  test("checks what a merge key brings in, and refuses merges that grow without bound", () => {
    const merged = `${CONTAINER.replace("[{", "[{ <<: &x { comand: [a] },")}`;
    expect(problemsOf(pod(merged))).toEqual([expect.stringContaining("did you mean command?")]);
    const layers = Array.from(
      { length: 40 },
      (_, n) => `k${n + 1}: &k${n + 1} { a: { <<: *k${n} }, b: { <<: *k${n} } }`,
    );
    expect(problemsOf(["k0: &k0 { a: 1 }", ...layers].join("\n"))).toEqual([
      expect.stringMatching(/aliases come to \d+ values/),
    ]);
    expect(problemsOf("a: &x { <<: *x, b: 1 }\n")).toEqual([expect.stringContaining("*x holds itself")]);
  });

  test("says of a field that it does not honour that it does not, once, and nothing of what it does anyway", () => {
    const deployment = (spec: string) =>
      `apiVersion: apps/v1\nkind: Deployment\nmetadata: { name: d }\nspec: { selector: { matchLabels: { a: b } }, template: { metadata: { labels: { a: b } }, spec: { ${CONTAINER} } }, ${spec} }\n`;
    const notices = (spec: string) =>
      parseManifests([{ name: "d", text: deployment(spec) }]).notices.map((one) => one.what);
    expect(notices("strategy: { type: Recreate }, minReadySeconds: 0")).toEqual([]);
    expect(notices("strategy: { rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } }")).toEqual([]);
    expect(notices("strategy: { rollingUpdate: { maxSurge: 25%, maxUnavailable: 25% } }")).toEqual([
      expect.stringContaining("spec.strategy.rollingUpdate.maxSurge: pods are replaced one by one"),
    ]);
    expect(notices("minReadySeconds: 5")).toEqual([expect.stringContaining("spec.minReadySeconds")]);
    expect(problemsOf(deployment("strategy: { type: Blue }"))).toEqual([expect.stringContaining("it can be")]);
    expect(problemsOf(pod(`serviceAccount: web\n${CONTAINER}`))).toEqual([
      expect.stringContaining("write serviceAccountName: web"),
    ]);
  });

  test("refuses families of a Service that contradict each other", () => {
    const service = (spec: string) =>
      problemsOf(
        `${pod(CONTAINER)}---\napiVersion: v1\nkind: Service\nmetadata: { name: s }\nspec: { selector: { app: app }, ports: [{ port: 80 }], ${spec} }\n`,
      );
    expect(service("ipFamilies: [IPv6, IPv4], ipFamilyPolicy: PreferDualStack")).toEqual([]);
    for (const wrong of [
      "ipFamilies: [IPv4, IPv6], ipFamilyPolicy: SingleStack",
      "ipFamilies: [IPv4, IPv4]",
      'ipFamilies: [IPv6], clusterIP: "10.96.0.50"',
      'clusterIP: "10.96.0.50", clusterIPs: ["10.96.0.51"]',
      "ipFamilies: [IPv5]",
    ])
      expect([wrong, service(wrong).length]).toEqual([wrong, 1]);
  });

  test("flattens a List", () => {
    const text = `apiVersion: v1\nkind: List\nitems:\n- { apiVersion: v1, kind: Namespace, metadata: { name: a } }\n- { apiVersion: v1, kind: Namespace, metadata: { name: b } }\n`;
    expect(parseManifests([{ name: "l", text }]).objects.map((one) => one.object.metadata.name)).toEqual(["a", "b"]);
  });

  const cases: [string, string, RegExp][] = [
    ["malformed YAML, with line and column", "apiVersion: v1\nkind: [Pod\n", /^app\.yaml:3:1: malformed YAML/],
    ["a duplicate key", "apiVersion: v1\nkind: Pod\nkind: Pod\n", /app\.yaml:3:1: the key "kind" is there twice/],
    [
      "an unknown kind",
      "apiVersion: v1\nkind: Ingress\nmetadata: { name: a }\n",
      /Ingress\/a: kind Ingress is not supported by play; play runs Namespace/,
    ],
    ["a misspelled kind", "apiVersion: v1\nkind: Pods\nmetadata: { name: a }\n", /did you mean Pod\?/],
    [
      "a kind of a later version",
      "apiVersion: tulle.dev/v1\nkind: Thing\nmetadata: { name: a }\n",
      /not known to this version of Tulle/,
    ],
    ["another apiVersion", "apiVersion: v2\nkind: Namespace\nmetadata: { name: a }\n", /apiVersion must be v1, not v2/],
    [
      "a missing name",
      "apiVersion: v1\nkind: Namespace\nmetadata: {}\n",
      /:3:11: Namespace: metadata\.name is missing/,
    ],
    ["no metadata", "apiVersion: v1\nkind: Namespace\n", /metadata is missing/],
    ["a bad name", "apiVersion: v1\nkind: Namespace\nmetadata: { name: My_Space }\n", /"My_Space" is not a DNS label/],
    ["a document that is no object", "- a\n", /not an object/],
    [
      "duplicate names",
      `${pod(CONTAINER)}---\n${pod(CONTAINER)}`,
      /Pod\/app: is there twice; the first is at app\.yaml:1/,
    ],
    [
      "port 70000",
      pod("containers: [{ name: app, image: x, ports: [{ containerPort: 70000 }] }]"),
      /containerPort is 70000; it must be 1 to 65535/,
    ],
    [
      "a number where text is due",
      pod("containers: [{ name: app, image: x, env: [{ name: A, value: 1 }] }]"),
      /value must be a string; quote it: "1"/,
    ],
    [
      "an unknown field",
      pod("containers: [{ name: app, image: x, comand: [a] }]"),
      /unknown field spec\.containers\[0\]\.comand; did you mean command\?/,
    ],
    ["hostNetwork", pod(`hostNetwork: true\n${CONTAINER}`), /spec\.hostNetwork is not supported by play/],
    [
      "a host path",
      pod(`${CONTAINER}\nvolumes: [{ name: v, hostPath: { path: / } }]`),
      /hostPath is not supported by play/,
    ],
    [
      "a privileged container",
      pod("containers: [{ name: app, image: x, securityContext: { privileged: true } }]"),
      /privileged is not supported/,
    ],
    [
      "a Secret",
      pod(
        "containers: [{ name: app, image: x, env: [{ name: A, valueFrom: { secretKeyRef: { name: a, key: b } } }] }]",
      ),
      /no Secrets here/,
    ],
    ["no containers", pod("containers: []"), /spec\.containers must not be empty/],
    [
      "duplicate container names",
      pod("containers: [{ name: a, image: x }, { name: a, image: x }]"),
      /name "a" is there twice/,
    ],
    [
      "an unknown volume",
      pod("containers: [{ name: a, image: x, volumeMounts: [{ name: v, mountPath: /v }] }]"),
      /mounts volume "v", which the pod does not have/,
    ],
    ["an unknown service account", pod(`serviceAccountName: web\n${CONTAINER}`), /ServiceAccount "web" does not exist/],
    [
      "an unknown ConfigMap",
      pod("containers: [{ name: a, image: x, envFrom: [{ configMapRef: { name: c } }] }]"),
      /ConfigMap "c" does not exist/,
    ],
    [
      "a Service selecting nothing",
      "apiVersion: v1\nkind: Service\nmetadata: { name: s }\nspec: { selector: { app: b }, ports: [{ port: 80 }] }\n",
      /Service\/s: selects nothing: no pod of its namespace has the labels app=b/,
    ],
    [
      "an unknown named port",
      `${pod("containers: [{ name: app, image: x, ports: [{ name: web, containerPort: 80 }] }]")}---\napiVersion: v1\nkind: Service\nmetadata: { name: s }\nspec: { selector: { app: app }, ports: [{ port: 80, targetPort: http }] }\n`,
      /targetPort "http" is no port name of the pods it selects; they have web/,
    ],
    [
      "a Deployment whose selector misses its template",
      "apiVersion: apps/v1\nkind: Deployment\nmetadata: { name: d }\nspec: { selector: { matchLabels: { app: a } }, template: { metadata: { labels: { app: b } }, spec: { containers: [{ name: a, image: x }] } } }\n",
      /spec\.selector does not match the labels of spec\.template/,
    ],
    [
      "more pods than the node holds",
      "apiVersion: apps/v1\nkind: Deployment\nmetadata: { name: d }\nspec: { replicas: 500, selector: { matchLabels: { app: a } }, template: { metadata: { labels: { app: a } }, spec: { containers: [{ name: a, image: x }] } } }\n",
      /500 pods are more than this node holds: 200/,
    ],
  ];
  test.each(cases)("refuses %s", (_name, text, wanted) => {
    expect(problemsOf(text).join("\n")).toMatch(wanted);
  });

  test("names every problem at once, and counts what it does not show", () => {
    const text = Array.from({ length: 30 }, () => "apiVersion: v1\nkind: Nope\n").join("---\n");
    expect(problemsOf(text)).toHaveLength(30);
    expect(() => parseManifests([{ name: "a", text }])).toThrow(/and 10 more/);
  });

  test("says what it accepts and does not honour", () => {
    const { notices } = parseManifests([
      { name: "a", text: pod("containers: [{ name: a, image: x, resources: { limits: { cpu: 1 } } }]") },
    ]);
    expect(notices.map((one) => one.what)).toEqual([
      "spec.containers[0].resources: requests and limits are not enforced",
    ]);
  });

  test("reads 10,000 documents, and judges each", () => {
    const text = Array.from(
      { length: 10_000 },
      (_, index) => `apiVersion: v1\nkind: ConfigMap\nmetadata: { name: c${index} }\ndata: { a: "1" }\n`,
    ).join("---\n");
    expect(parseManifests([{ name: "big", text }]).objects).toHaveLength(10_000);
  }, 30_000);
});
