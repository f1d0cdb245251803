/** Manifests of every style, and random ones: the corpus of the injector's tests. */
import fc from "fast-check";
import { stringify } from "yaml";

export const POD = `apiVersion: v1
kind: Pod
metadata:
  name: app # its name
  labels: {app: app}
spec:
  # the application
  containers:
    - name: app
      image: "bash"   # a comment
      command: [sh, -c, 'ping google.com']
`;

const HEAD = `apiVersion: v1
kind: Pod
metadata: {name: a}
spec:
  containers:
  - name: app
    image: x
`;

/** Name and text; each holds at least one pod that can be meshed. */
export const CORPUS: readonly (readonly [name: string, text: string])[] = [
  ["a plain pod with comments", POD],
  ["no newline at the end", POD.trimEnd()],
  ["CRLF line ends", POD.replaceAll("\n", "\r\n")],
  [
    "zero-indented sequences",
    "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\nspec:\n  containers:\n  - name: a\n    image: b\n  volumes:\n  # mine\n  - name: v\n    emptyDir: {}\n",
  ],
  [
    "own init containers",
    `${POD}  initContainers:\n    # first\n    - name: prepare\n      image: x\n    - name: more\n      image: y\n`,
  ],
  ["an empty flow list", `${POD}  initContainers: []\n  volumes: [ ] # none\n`],
  ["a flow list with items", `${POD}  initContainers: [{name: prepare, image: x}]\n`],
  ["a null list", `${POD}  initContainers:\n  volumes: # none yet\n  restartPolicy: Never\n`],
  ["a written null", `${POD}  initContainers: ~\n`],
  ["a null list at the end of the text", `${POD}  initContainers:`],
  ["annotations in block style", POD.replace("  labels: {app: app}", "  annotations:\n    # mine\n    a: b")],
  ["annotations in flow style", POD.replace("  labels: {app: app}", "  annotations: {a: b}")],
  ["empty annotations", POD.replace("  labels: {app: app}", "  annotations: {}")],
  [
    "metadata in flow style",
    POD.replace("metadata:\n  name: app # its name\n  labels: {app: app}", "metadata: {name: app}"),
  ],
  [
    "odd indentation",
    "kind: Pod\napiVersion: v1\nmetadata:\n         name: a\nspec:\n   containers:\n         -   name: a\n             image: b\n",
  ],
  [
    "one-line JSON",
    '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"},"spec":{"containers":[{"name":"a","image":"b"}]}}',
  ],
  [
    "indented JSON",
    JSON.stringify(
      {
        apiVersion: "v1",
        kind: "Pod",
        metadata: { name: "a", annotations: {} },
        spec: { initContainers: [], containers: [{ name: "a", image: "b" }] },
      },
      null,
      2,
    ),
  ],
  [
    "a Deployment whose template has no metadata",
    "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec:\n  selector: {}\n  template:\n    spec:\n      containers:\n        - {name: a, image: b}\n",
  ],
  [
    "many documents, empty ones and other kinds",
    `# head\n---\n---\n${POD}---\nkind: Service\napiVersion: v1\nmetadata: {name: s}\n...\n---\n${POD.replace("name: app #", "name: two #")}`,
  ],
  [
    "unknown fields and block scalars",
    `${POD}  somethingNew: {deep: [1, 2, {x: ~}]}\n  note: |\n    kind: Pod\n      kept\n`,
  ],
  ["a comment at the end", `${POD}# the end\n`],
];

/** The same with handlers, which give way to others. */
export const PROBED: readonly (readonly [name: string, text: string])[] = [
  [
    "a probe with comments everywhere",
    `${HEAD}${"    livenessProbe:\n      # one\n      tcpSocket: # two\n        # three\n        port: 80 # four\n      # five\n      periodSeconds: 3 # six\n"}`,
  ],
  [
    "a probe that ends in an empty value",
    `${HEAD}${"    livenessProbe:\n      grpc:\n        port: 80\n        service: # none\n      periodSeconds: 3\n"}`,
  ],
  ["a probe at the end of the text", `${HEAD}${"    livenessProbe:\n      grpc:\n        port: 80"}`],
  [
    "a probe with an alias in it",
    `${HEAD}${'    env: [{name: P, value: &port "80"}]\n    livenessProbe:\n      tcpSocket: {port: *port}\n'}`,
  ],
  ["a probe with quoted keys", `${HEAD}${'    "livenessProbe":\n      \'httpGet\': {path: "/", port: 80}   # c\n'}`],
  [
    "a probe with a folded path",
    `${HEAD}${"    livenessProbe:\n      httpGet:\n        port: 80\n        path: >-\n          /abc\n\n      periodSeconds: 1\n"}`,
  ],
  [
    "a probe with header lists and blank lines",
    `${HEAD}${"    livenessProbe:\n      httpGet:\n        port: 80\n        httpHeaders:\n        - name: a\n          value: it's $(A)\n\n\n    stdin: false\n"}`,
  ],
  [
    "lifecycle handlers",
    `${HEAD}${"    lifecycle: {postStart: {httpGet: {port: 80}}, preStop: {exec: {command: [a]}}}\n"}`,
  ],
];

const name = fc.stringMatching(/^[a-z]{1,8}$/);
const handler = fc.oneof(
  fc.record({
    httpGet: fc.record(
      {
        path: fc.constantFrom("/", "/healthz?full=1", "live"),
        port: fc.constantFrom(8080, "http"),
        scheme: fc.constantFrom("HTTP", "HTTPS"),
        httpHeaders: fc.constant([{ name: "X-A", value: 'it\'s $(A) "b"' }]),
      },
      { requiredKeys: ["port"] },
    ),
  }),
  fc.record({ tcpSocket: fc.record({ port: fc.constantFrom(9000, "http", "none") }) }),
  fc.record({ grpc: fc.record({ port: fc.constant(9000), service: fc.constantFrom("a.b", null) }) }),
  fc.record({ exec: fc.constant({ command: ["true"] }) }),
);
const probe = fc
  .tuple(
    handler,
    fc.record({ periodSeconds: fc.nat(9), timeoutSeconds: fc.nat(9) }, { requiredKeys: [] }),
    fc.boolean(),
  )
  .map(([one, timing, last]) => (last ? { ...timing, ...one } : { ...one, ...timing }));
const probes = fc.record(
  {
    livenessProbe: probe,
    readinessProbe: probe,
    startupProbe: probe,
    lifecycle: fc.record({ postStart: handler, preStop: handler }, { requiredKeys: [] }),
  },
  { requiredKeys: [] },
);
const kind = fc.constantFrom("Pod", "Deployment", "Job", "CronJob", "PodList", "List");

/** A manifest in a random style: one object, in YAML or JSON, commented or not. */
export const RANDOM_MANIFEST: fc.Arbitrary<string> = fc
  .record({
    kind,
    metadata: fc.constantFrom("full", "empty", "absent"),
    annotations: fc.option(fc.dictionary(name, name, { maxKeys: 3 }), { nil: undefined }),
    initContainers: fc.option(
      fc.array(
        fc.tuple(name, probes).map(([one, own]) => ({ name: one, image: "x", restartPolicy: "Always", ...own })),
        {
          maxLength: 2,
        },
      ),
      { nil: null },
    ),
    probes,
    volumes: fc.option(fc.array(fc.record({ name, emptyDir: fc.constant({}) }), { maxLength: 2 }), { nil: undefined }),
    style: fc.constantFrom("block", "flow", "json", "json2"),
    indent: fc.integer({ min: 2, max: 6 }),
    indentSeq: fc.boolean(),
    comment: fc.boolean(),
    crlf: fc.boolean(),
  })
  .map((one) => {
    const metadata = { full: { name: "a", annotations: one.annotations }, empty: {}, absent: undefined }[one.metadata];
    const pod = {
      metadata,
      spec: {
        volumes: one.volumes,
        containers: [{ name: "app", image: "x", ports: [{ name: "http", containerPort: 8080 }], ...one.probes }],
        initContainers: one.initContainers,
      },
    };
    const template = { template: pod };
    const object = {
      Pod: { apiVersion: "v1", kind: "Pod", ...pod },
      Deployment: { apiVersion: "apps/v1", kind: "Deployment", spec: template },
      Job: { apiVersion: "batch/v1", kind: "Job", metadata: { name: "j" }, spec: template },
      CronJob: { apiVersion: "batch/v1", kind: "CronJob", spec: { jobTemplate: { spec: template } } },
      PodList: { apiVersion: "v1", kind: "PodList", items: [{ apiVersion: "v1", kind: "Pod", ...pod }] },
      List: {
        apiVersion: "v1",
        kind: "List",
        items: [{ kind: "ConfigMap" }, { kind: "Pod", ...pod }, { kind: "Pod", ...pod }],
      },
    }[one.kind];
    const plain: unknown = JSON.parse(JSON.stringify(object));
    if (one.style.startsWith("json")) return JSON.stringify(plain, null, one.style === "json" ? 0 : one.indent);
    const text = stringify(plain, {
      indent: one.indent,
      indentSeq: one.indentSeq,
      aliasDuplicateObjects: false,
      ...(one.style === "flow" ? { collectionStyle: "flow" as const } : {}),
    });
    const commented = one.comment ? `# head\n${text.replaceAll("\n", " # c\n")}` : text;
    return one.crlf ? commented.replaceAll("\n", "\r\n") : commented;
  });
