/** The report of `tulle status` for people: at most 100 columns wide where names allow it. */
import { INJECT_REASONS, type InjectReason } from "../inject/index.ts";
import type { ControlPlane, NamespaceStatus, PodStatus, Problem, StatusReport } from "../status/index.ts";
import { type Colour, type Row, table, wrapped } from "./text.ts";

export interface Look {
  /** Lists the pods that are outside by choice. */
  readonly all: boolean;
  readonly paint: (text: string, colour: Colour) => string;
}

export function statusText(report: StatusReport, look: Look): string {
  const sections = [
    controlPlane(report, look),
    namespaces(report.namespaces),
    unmeshed(report.pods),
    outside(report.pods, look.all),
    proxyVersions(report),
    `${verdict(report, look)}\n`,
  ];
  return sections.filter((section) => section !== "").join("\n");
}

function controlPlane({ target, controlPlane: found }: StatusReport, { paint }: Look): string {
  const where =
    target.kind === "play"
      ? `play on this machine (process ${target.process})`
      : `cluster ${target.server}, operator in namespace ${found.namespace}`;
  const state =
    found.ready === null
      ? paint("not known", "yellow")
      : found.ready
        ? paint("ready", "green")
        : paint("not ready", "red");
  return [
    `${where}\n`,
    `control plane: ${state}\n`,
    replicas(found),
    trust(found),
    injector(found),
    problems(found.problems, "!"),
    problems(found.warnings, "?"),
    ...found.unseen.map(({ part, why }) => `  ? ${wrapped(`${part} could not be looked at: ${why}`, 4)}\n`),
  ].join("");
}

function replicas({ replicas: found }: ControlPlane): string {
  if (found === null || found.length === 0) return "";
  const rows = found.map(({ pod, ready, version, leader }): Row => {
    return [pod, ready ? "yes" : "no", version ?? "unknown", leader ? "leader" : ""];
  });
  return table([["POD", "READY", "VERSION", ""], ...rows], 2);
}

function trust({ trust: found }: ControlPlane): string {
  if (found === null) return "";
  const lines = found.roots.map(({ fingerprint, expires }) => `  root ${fingerprint}, until ${expires.slice(0, 10)}\n`);
  return [`  trust domain ${found.trustDomain ?? "unknown"}\n`, ...lines].join("");
}

function injector({ injector: found }: ControlPlane): string {
  if (found === null) return "";
  return found.webhooks
    .map((one) => `  webhook ${one.name}: failurePolicy ${one.failurePolicy}, caBundle ${one.caBundle}\n`)
    .join("");
}

function problems(found: readonly Problem[], sign: string): string {
  return found
    .map(({ text, fix }) => {
      const help = fix === null ? "" : `    fix: ${wrapped(fix, 9)}\n`;
      return `  ${sign} ${wrapped(text, 4)}\n${help}`;
    })
    .join("");
}

function namespaces(found: readonly NamespaceStatus[]): string {
  if (found.length === 0) return "no namespace is in the mesh\n";
  const rows = found.map(({ name, mode, pods, meshed, unmeshed: missing, outside: left }): Row => {
    const parts = [...(missing === 0 ? [] : [`${missing} should be meshed`]), ...counted(Object.entries(left))];
    return [name, mode ?? "unknown", `${meshed}/${pods}`, parts.length === 0 ? "none" : parts.join(", ")];
  });
  return table([["NAMESPACE", "MODE", "MESHED", "OUTSIDE"], ...rows]);
}

/** Pods of one workload with one reason are told of together. */
function unmeshed(pods: readonly PodStatus[]): string {
  const found = pods.filter((pod) => pod.state === "unmeshed");
  if (found.length === 0) return "";
  const groups = Map.groupBy(found, ({ namespace, workload, why, fix }) =>
    JSON.stringify([namespace, workload, why, fix]),
  );
  const lines = [...groups.values()].flatMap((group) => {
    const [first] = group;
    if (first === undefined) return [];
    const names = group.map((pod) => pod.name).join(", ");
    const title = `${first.namespace}, ${first.workload ?? "bare"}: ${names}`;
    return [
      `! ${wrapped(title, 2)}\n`,
      `    ${wrapped(first.why ?? "", 4)}\n`,
      `    fix: ${wrapped(first.fix ?? "", 9)}\n`,
    ];
  });
  return ["should be meshed and are not:\n", ...lines].join("");
}

function outside(pods: readonly PodStatus[], all: boolean): string {
  const found = pods.filter((pod) => pod.state === "outside");
  const reasons = Map.groupBy(found, (pod) => pod.reason as InjectReason);
  if (reasons.size === 0) return "";
  const sum = counted([...reasons].map(([reason, group]) => [reason, group.length] as const)).join(", ");
  if (!all) return `outside by choice: ${wrapped(`${sum} (--all lists them)`, 19)}\n`;
  const rows = found.map(({ namespace, name, reason }): Row => [namespace, name, reason ?? ""]);
  const meanings = [...reasons.keys()].map(
    (reason) => `${reason}: ${wrapped(INJECT_REASONS[reason], reason.length + 2)}\n`,
  );
  return [
    `outside by choice: ${wrapped(sum, 19)}\n`,
    table([["NAMESPACE", "POD", "REASON"], ...rows]),
    ...meanings,
  ].join("");
}

function proxyVersions({ proxyVersions: found, controlPlane: { version } }: StatusReport): string {
  return found
    .filter((one) => !one.current)
    .map((one) => {
      const pods = one.pods === 1 ? "1 pod runs" : `${one.pods} pods run`;
      return `${pods} the proxy of ${one.version}, the operator is ${version}: restart to update\n`;
    })
    .join("");
}

function verdict({ ok, pods, controlPlane: { ready } }: StatusReport, { paint }: Look): string {
  const missing = pods.filter((pod) => pod.state === "unmeshed").length;
  if (ok) return paint("every pod that should be meshed is", "green");
  if (missing > 0)
    return paint(
      `${missing === 1 ? "1 pod" : `${missing} pods`} should be meshed and ${missing === 1 ? "is" : "are"} not`,
      "red",
    );
  if (ready === false) return paint("the control plane is not ready", "red");
  return paint("whether the control plane is ready could not be seen", "yellow");
}

function counted(counts: readonly (readonly [string, number])[]): readonly string[] {
  return counts.map(([what, count]) => `${count} ${what}`);
}
