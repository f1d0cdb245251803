/** An AdmissionReview (admission.k8s.io/v1) answered with what the injector says. Calls nobody: safe in a dry run. */
import { type InjectConfig, InjectError, injectPod, type JsonObject } from "../../inject/index.ts";
import { INJECT_LABEL } from "../../mesh/index.ts";
import type { NamespaceLabels } from "../sources/sources.ts";

export interface ReviewContext {
  readonly config: InjectConfig;
  /** Undefined while the namespace is not known: the pod's own labels and the webhook's selector then decide. */
  readonly namespaceLabels: (name: string) => NamespaceLabels | undefined;
}

/** What became of one review, for metrics and log. */
export type ReviewOutcome = "injected" | "already" | "skipped" | "refused";

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
  const skip = unwanted(context.namespaceLabels(namespace), at(metadata, "labels"));
  if (skip !== undefined) return answer("skipped", skip, { allowed: true });
  try {
    const injection = injectPod(pod as JsonObject, context.config);
    if (injection.outcome === "disabled") return answer("skipped", injection.why, { allowed: true });
    if (injection.outcome === "already") return answer("already", "", { allowed: true });
    const patch = Buffer.from(JSON.stringify(injection.patch)).toString("base64");
    return answer("injected", "", { allowed: true, patchType: "JSONPatch", patch });
  } catch (error) {
    if (!(error instanceof InjectError)) throw error;
    const message = `tulle: ${error.message}${error.hint === undefined ? "" : ` (${error.hint})`}`;
    // Let in unmeshed it would slip through in silence: who labelled the namespace gets told now.
    return answer("refused", error.code, { allowed: false, status: { code: 422, reason: "Invalid", message } });
  }
}

/** Why the pod is none of ours; undefined when it is. The namespace's label decides, the pod's where there is none. */
function unwanted(namespace: NamespaceLabels | undefined, labels: unknown): string | undefined {
  const own = text(at(labels, INJECT_LABEL));
  if (own === "disabled") return `label ${INJECT_LABEL}: disabled`;
  const said = namespace?.[INJECT_LABEL];
  if (said === "disabled") return `namespace label ${INJECT_LABEL}: disabled`;
  if (said === "enabled" || own === "enabled" || namespace === undefined) return undefined;
  return `neither namespace nor pod has the label ${INJECT_LABEL}: enabled`;
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
