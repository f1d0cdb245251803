/** Checks of the operator and of what belongs to it: by `tulle check`, and by `tulle status` on what little that reads. */

import {
  INJECTOR_FAILURE_POLICY,
  INJECTOR_WEBHOOKS,
  type Millis,
  OPERATOR_NAMES,
  ROOT_CERTIFICATE_FILE,
} from "../../mesh/index.ts";
import { readTrust } from "../../status/index.ts";
import type { Pod, WebhookConfiguration, Workload } from "../objects.ts";
import { podTrouble, rolloutMissing } from "../readiness.ts";
import { type Seen, see, Unseen } from "../seen.ts";
import { type Check, type Finding, fail, pass, some, warn } from "./finding.ts";
import type { Snapshot } from "./snapshot.ts";

/** What these checks look at. */
export interface ControlPlaneView {
  readonly now: Millis;
  /** Where the operator is. */
  readonly namespace: string;
  readonly operator: Seen<Workload | undefined>;
  /** Its pods. */
  readonly pods: Seen<readonly Pod[]>;
  readonly injector: Seen<WebhookConfiguration | undefined>;
  /** The trust bundle in PEM; undefined where there is none. */
  readonly bundle: Seen<string | undefined>;
}

interface ControlPlaneCheck extends Pick<Check, "id" | "claim"> {
  /** Throws Unseen where something may not be looked at. */
  readonly judge: (view: ControlPlaneView) => readonly Finding[];
}

const DAY = 86_400_000;
/** A root is rotated in weeks, not in hours. */
const EXPIRES_SOON = 60 * DAY;
const AGAIN = "Apply the installation again: tulle upgrade, or helm upgrade.";

export const CONTROL_PLANE: readonly ControlPlaneCheck[] = [
  {
    id: "operator",
    claim: "every replica of the operator is ready",
    judge: (view) => operator(view),
  },
  {
    id: "ca-expiry",
    claim: "the mesh's root is valid for long",
    judge: (view) => expiry(view),
  },
  {
    id: "webhook-trust",
    claim: "the API server trusts the injector's certificate",
    judge(view) {
      const injector = see(view.injector);
      if (injector === undefined)
        return [fail(`there is no MutatingWebhookConfiguration ${OPERATOR_NAMES.injector}`, AGAIN)];
      const wanted = see(view.bundle);
      if (wanted === undefined) return [noBundle(view.namespace)];
      const wrong = (injector.webhooks ?? [])
        .filter((one) => decoded(one.clientConfig.caBundle) !== wanted)
        .map((one) => one.name);
      if (wrong.length === 0) return [];
      return [
        fail(
          `the caBundle of ${some(wrong)} is not the mesh's bundle, which signs the operator's certificate`,
          "The operator writes it: see its log. If a GitOps tool writes it back, let that ignore the field (docs/install.md).",
        ),
      ];
    },
  },
  {
    id: "webhook-policy",
    claim: "the injector's webhooks are those of the chart",
    judge: (view) => policy(view),
  },
];

/** The same as checks of a whole snapshot. */
export const CONTROL_PLANE_CHECKS: readonly Check[] = CONTROL_PLANE.map(({ id, claim, judge }) => ({
  id,
  claim,
  when: "after",
  judge: (snapshot) => judge(viewOf(snapshot)),
}));

/** The trust bundle of the operator's own namespace. */
export function ownBundle({ bundles, namespace }: Pick<Snapshot, "bundles" | "namespace">): string | undefined {
  return see(bundles).find((one) => one.metadata.namespace === namespace)?.data?.[ROOT_CERTIFICATE_FILE];
}

export function noBundle(namespace: string): Finding {
  return fail(
    `the operator has published no trust bundle in namespace ${namespace}`,
    `kubectl logs -n ${namespace} deploy/tulle-operator`,
  );
}

export function operatorPods({ pods, namespace }: Pick<Snapshot, "pods" | "namespace">): readonly Pod[] {
  return see(pods).filter(
    ({ metadata }) =>
      metadata.namespace === namespace && metadata.labels?.["app.kubernetes.io/component"] === "operator",
  );
}

/** The text of a `caBundle`. */
export function decoded(base64: string | undefined): string | undefined {
  return base64 === undefined ? undefined : Buffer.from(base64, "base64").toString();
}

/** The API's default (admissionregistration.k8s.io/v1). */
export function failurePolicyOf({ failurePolicy = "Fail" }: { readonly failurePolicy?: string }): string {
  return failurePolicy;
}

function viewOf(snapshot: Snapshot): ControlPlaneView {
  const { now, namespace, operator: deployment, injector, pods, bundles } = snapshot;
  return {
    now,
    namespace,
    operator: deployment,
    injector,
    pods: pods instanceof Unseen ? pods : operatorPods(snapshot),
    bundle: bundles instanceof Unseen ? bundles : ownBundle(snapshot),
  };
}

function operator({ namespace, operator: deployment, pods }: ControlPlaneView): readonly Finding[] {
  const found = see(deployment);
  if (found === undefined)
    return [
      fail(
        `there is no operator in namespace ${namespace}`,
        "Install it: tulle install --wait (or name the namespace where it is).",
      ),
    ];
  const wanted = found.spec.replicas ?? 1;
  if (wanted === 0)
    return [
      fail(
        "the operator is scaled to 0 replicas: nothing is injected and nothing is signed",
        `kubectl scale -n ${namespace} deploy/tulle-operator --replicas=2`,
      ),
    ];
  const missing = rolloutMissing(found);
  if (missing === undefined) return [pass(`${wanted} replicas`)];
  const why = (pods instanceof Unseen ? [] : pods).map(podTrouble).find((one) => one !== undefined);
  return [
    fail(
      why === undefined ? missing : `${missing}; ${why}`,
      `kubectl describe pods -n ${namespace} -l app.kubernetes.io/component=operator; kubectl logs -n ${namespace} deploy/tulle-operator`,
    ),
  ];
}

function expiry({ now, namespace, bundle }: ControlPlaneView): readonly Finding[] {
  const pem = see(bundle);
  if (pem === undefined) return [noBundle(namespace)];
  const ends = readTrust(pem).roots.map((root) => Date.parse(root.expires));
  if (ends.length === 0) return [fail("the trust bundle holds no certificate", "See the operator's log.")];
  const last = Math.max(...ends);
  const days = Math.floor((last - now) / DAY);
  const until = new Date(last).toISOString().slice(0, 10);
  const fix = "See docs/install.md, The CA.";
  if (last <= now) return [fail(`the newest root ran out on ${until}`, fix)];
  return last - now < EXPIRES_SOON
    ? [warn(`the newest root runs out on ${until}, in ${days} days`, fix)]
    : [pass(`until ${until}`)];
}

function policy({ injector }: ControlPlaneView): readonly Finding[] {
  const found = see(injector);
  if (found === undefined) return [];
  return INJECTOR_WEBHOOKS.flatMap((name): Finding[] => {
    const one = found.webhooks?.find((webhook) => webhook.name === name);
    if (one === undefined) return [fail(`webhook ${name} is missing in ${OPERATOR_NAMES.injector}`, AGAIN)];
    const said = failurePolicyOf(one);
    if (said === INJECTOR_FAILURE_POLICY) return [];
    return [
      warn(
        `failurePolicy of ${name} is ${said}, not ${INJECTOR_FAILURE_POLICY}: while no operator answers, no pod it is for can be made`,
        AGAIN,
      ),
    ];
  });
}
