/** Admission reviews: answered or no review, never a defect; and a pod that was meshed once is meshed. */
import { type ReviewContext, reviewAdmission } from "../../../src/cluster/webhook/review.ts";
import { ANNOTATIONS, applyPatch, hasSidecar, MARKS, type PatchOperation } from "../../../src/inject/index.ts";
import { mutateJson } from "../json-tree.ts";
import { bytesOf, promise, same, type Target, unlessRefused } from "../target.ts";

const CONTEXT: ReviewContext = {
  config: {
    image: "tulle:1",
    version: "1",
    trustDomain: "cluster.local",
    operatorAddress: "tulle-operator.tulle-system.svc:15012",
  },
  ownNamespace: "tulle-system",
  namespaceLabels: (name) => (name === "unknown" ? undefined : { "tulle.dev/inject": "enabled" }),
};

const review = (metadata: object, spec: object) =>
  bytesOf(
    JSON.stringify({
      request: { uid: "u-1", namespace: "shop", object: { metadata: { name: "web", ...metadata }, spec } },
    }),
  );
const app = { name: "app", image: "x", ports: [{ name: "http", containerPort: 8080 }] };

const KEYS = [
  ..."metadata labels annotations name generateName namespace spec containers initContainers volumes ports env value".split(
    " ",
  ),
  ..."livenessProbe readinessProbe startupProbe lifecycle postStart preStop httpGet tcpSocket grpc exec port host path".split(
    " ",
  ),
  ..."scheme httpHeaders timeoutSeconds securityContext runAsUser hostNetwork shareProcessNamespace os nodeSelector".split(
    " ",
  ),
  ..."containerPort hostPort restartPolicy privileged allowPrivilegeEscalation __proto__ constructor length a/b~c".split(
    " ",
  ),
  ...Object.values(ANNOTATIONS).map(({ name }) => name),
  ...MARKS.map(({ name }) => name),
];

export const target: Target = {
  examples: [
    review({}, { containers: [app] }),
    review(
      {
        labels: { "tulle.dev/inject": "enabled" },
        annotations: { "tulle.dev/skip-inbound-ports": "9100,8000-8010", "tulle.dev/proxy-cpu-limit": "1" },
      },
      {
        initContainers: [
          { name: "first", image: "y", restartPolicy: "Always", startupProbe: { tcpSocket: { port: 90 } } },
        ],
        containers: [
          {
            ...app,
            livenessProbe: { httpGet: { path: "/", port: "http" }, timeoutSeconds: 3 },
            lifecycle: { preStop: { httpGet: { port: 80 } } },
          },
        ],
        volumes: [{ name: "v", emptyDir: {} }],
      },
    ),
    review(
      { annotations: {} },
      {
        containers: [{ ...app, readinessProbe: { grpc: { port: 80, service: "s" } } }],
        volumes: [],
        initContainers: [],
      },
    ),
    review(
      {},
      {
        containers: [{ ...app, securityContext: { runAsUser: 1000, allowPrivilegeEscalation: false } }],
        shareProcessNamespace: true,
      },
    ),
  ],
  mutate: (input, dice) => mutateJson(input, dice, KEYS),
  run(input) {
    let body: unknown;
    try {
      body = JSON.parse(Buffer.from(input).toString("utf8"));
    } catch {
      return;
    }
    const given = JSON.stringify(body);
    const first = answer(body);
    promise(JSON.stringify(body) === given, "a review is not changed by its answer");
    if (first?.patch === undefined) return;
    const request = (body as { readonly request: { readonly object: object } }).request;
    const meshed = applyPatch(request.object, first.patch);
    promise(
      hasSidecar((meshed as { readonly spec: { readonly [key: string]: unknown } }).spec),
      "a patched pod has the sidecar",
    );
    const second = answer({ request: { ...request, object: meshed } });
    same(second, { outcome: "unchanged", patch: undefined }, "the answer for a pod that is meshed");
  },
};

interface Answer {
  readonly outcome: string;
  readonly patch: readonly PatchOperation[] | undefined;
}

/** Undefined for what is no review. */
function answer(body: unknown): Answer | undefined {
  const reviewed = unlessRefused(
    () => reviewAdmission(body, CONTEXT),
    (error) => error instanceof RangeError && error.message.startsWith("not an AdmissionReview"),
  );
  if (reviewed === undefined) return undefined;
  const { response } = JSON.parse(JSON.stringify(reviewed.response)) as {
    readonly response: { readonly patch?: string; readonly status?: { readonly message: unknown } };
  };
  promise(reviewed.outcome !== "refused" || typeof response.status?.message === "string", "a refusal says why");
  const patch = response.patch === undefined ? undefined : JSON.parse(Buffer.from(response.patch, "base64").toString());
  return { outcome: reviewed.outcome, patch };
}
