/** An AdmissionReview (admission.k8s.io/v1) answered with what the injector says. Calls nobody: safe in a dry run. */
import { admitPod, type InjectConfig, type JsonObject } from "../../inject/index.ts";
import { INJECT_LABEL } from "../../mesh/index.ts";

export interface ReviewContext {
  readonly config: InjectConfig;
  /** The operator's namespace: never meshed. */
  readonly ownNamespace: string;
  /** Undefined while the namespace is not known: the webhook's selectors have then decided. */
  readonly namespaceLabels: (name: string) => Readonly<Record<string, string>> | undefined;
}

/** What became of one review, for metrics and log. */
export type ReviewOutcome = "patched" | "unchanged" | "refused";

export interface Reviewed {
  readonly outcome: ReviewOutcome;
  readonly why: string;
  readonly namespace: string;
  readonly pod: string;
  /** The AdmissionReview to send back. */
  readonly response: object;
}

/** Throws RangeError for what is no AdmissionReview of a pod's creation. */
export function reviewAdmission(body: unknown, context: ReviewContext): Reviewed {
  const request = at(body, "request");
  const uid = at(request, "uid");
  const pod = at(request, "object");
  if (typeof uid !== "string" || !isObject(pod)) throw new RangeError("not an AdmissionReview with a pod");
  const namespace = text(at(request, "namespace")) ?? text(at(at(pod, "metadata"), "namespace")) ?? "default";
  const metadata = at(pod, "metadata");
  const name = text(at(metadata, "name")) ?? `${text(at(metadata, "generateName")) ?? ""}*`;
  const answer = (outcome: ReviewOutcome, why: string, response: object): Reviewed => ({
    outcome,
    why,
    namespace,
    pod: name,
    response: { apiVersion: "admission.k8s.io/v1", kind: "AdmissionReview", response: { uid, ...response } },
  });
  const labels = context.namespaceLabels(namespace) ?? { [INJECT_LABEL]: "enabled" };
  const admission = admitPod(pod as JsonObject, { name: namespace, labels }, context.config, context.ownNamespace);
  switch (admission.outcome) {
    case "unchanged":
      return answer("unchanged", admission.reason, { allowed: true });
    case "patched": {
      const patch = Buffer.from(JSON.stringify(admission.patch)).toString("base64");
      const warnings = admission.warnings.length === 0 ? {} : { warnings: admission.warnings };
      return answer("patched", admission.reason, { allowed: true, patchType: "JSONPatch", patch, ...warnings });
    }
    case "refused": {
      // Let in unmeshed it would slip through in silence: who asked for the mesh gets told now.
      const status = { code: 422, reason: "Invalid", message: `tulle: ${admission.message}` };
      return answer("refused", admission.code, { allowed: false, status });
    }
  }
}

function at(value: unknown, key: string): unknown {
  return isObject(value) ? value[key] : undefined;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function text(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}
