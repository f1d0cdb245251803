/** The control plane of a report, judged by the checks of `tulle check` on what `tulle status` may read. Pure. */
import type { Lease } from "../../kube/index.ts";
import {
  type CaBundleState,
  type ControlPlane,
  type Problem,
  type Replica,
  readTrust,
  type Unseen as UnseenPart,
} from "../../status/index.ts";
import { CONTROL_PLANE, type ControlPlaneView, decoded, failurePolicyOf } from "../check/control-plane.ts";
import type { Finding } from "../check/finding.ts";
import { modeOfOperator, type Pod, type WebhookConfiguration } from "../objects.ts";
import { type Seen, Unseen } from "../seen.ts";

export interface ControlPlaneFacts extends ControlPlaneView {
  readonly lease: Seen<Lease | undefined>;
}

const VERSION_LABEL = "app.kubernetes.io/version";

export function judgeControlPlane(facts: ControlPlaneFacts): ControlPlane {
  const { namespace, operator, pods, lease, injector, bundle } = facts;
  const deployment = known(operator);
  const pem = known(bundle);
  const webhooks = known(injector);
  const unseen: UnseenPart[] = [];
  const note = (part: string, value: Seen<unknown>) => {
    if (value instanceof Unseen) unseen.push({ part, why: value.message });
  };
  note("operator", operator);
  note("replicas", pods);
  note("leader", lease);
  note("trust", bundle);
  note("injector", injector);
  const { problems, warnings, complete } = judged(facts);
  const replicas = known(pods)?.map((pod) => replicaOf(pod, known(lease)?.spec?.holderIdentity));
  if (problems.length === 0 && replicas !== undefined && !(lease instanceof Unseen) && !replicas.some(isLeader)) {
    warnings.push({
      text: "no replica leads at the moment: trust bundles, the webhook's caBundle and unmeshed pods wait for one",
      fix: `Another takes over within seconds; if not, see kubectl logs -n ${namespace} deploy/tulle-operator.`,
    });
  }
  return {
    ready: problems.length > 0 ? false : complete ? true : null,
    namespace,
    version: deployment?.metadata.labels?.[VERSION_LABEL] ?? null,
    mode: deployment === undefined ? null : modeOfOperator(deployment),
    replicas: replicas ?? null,
    trust: pem === undefined ? null : readTrust(pem),
    injector: webhooks === undefined ? null : { webhooks: webhookStates(webhooks, bundle) },
    problems,
    warnings,
    unseen,
  };
}

/** `complete` when every check could look at what it judges. */
function judged(facts: ControlPlaneFacts): { problems: Problem[]; warnings: Problem[]; complete: boolean } {
  const findings: Finding[] = [];
  let complete = true;
  // Without an operator there is one thing to say.
  const absent = known(facts.operator) === undefined && !(facts.operator instanceof Unseen);
  for (const { id, judge } of CONTROL_PLANE) {
    if (absent && id !== "operator") continue;
    try {
      findings.push(...judge(facts));
    } catch (error) {
      if (!(error instanceof Unseen)) throw error;
      complete = false;
    }
  }
  const told = (verdict: Finding["verdict"]): Problem[] => {
    const found = findings.filter((one) => one.verdict === verdict);
    const texts = new Set(found.map(({ text }) => text));
    return [...texts].map((text) => ({ text, fix: found.find((one) => one.text === text)?.fix ?? null }));
  };
  return { problems: told("fail"), warnings: told("warn"), complete };
}

function replicaOf({ metadata, status }: Pod, holder: string | undefined): Replica {
  return {
    pod: metadata.name,
    ready: status?.conditions?.some((one) => one.type === "Ready" && one.status === "True") === true,
    version: metadata.labels?.[VERSION_LABEL] ?? null,
    // A replica holds the Lease as its pod's name and some letters of its own.
    leader: holder !== undefined && holder.replace(/_[^_]*$/, "") === metadata.name,
  };
}

function isLeader(replica: Replica): boolean {
  return replica.leader;
}

function webhookStates({ webhooks = [] }: WebhookConfiguration, bundle: Seen<string | undefined>) {
  const state = (caBundle: string | undefined): CaBundleState => {
    if (caBundle === undefined) return "missing";
    const pem = known(bundle);
    if (pem === undefined) return "unknown";
    return decoded(caBundle) === pem ? "current" : "other";
  };
  return webhooks.map((one) => ({
    name: one.name,
    failurePolicy: failurePolicyOf(one),
    caBundle: state(one.clientConfig.caBundle),
  }));
}

function known<T>(value: Seen<T>): T | undefined {
  return value instanceof Unseen ? undefined : value;
}
