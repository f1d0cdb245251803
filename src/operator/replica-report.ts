/** Reports between replicas, as bytes and back. */
import type { ReplicaReport } from "../wire/index.ts";
import { checkReport } from "./report-check.ts";
import type { ProxyReport } from "./reports.ts";

export function reportToWire(report: ProxyReport): ReplicaReport {
  return {
    podUid: report.podUid,
    namespace: report.namespace,
    pod: report.pod,
    connected: report.connected,
    receivedMillis: report.receivedAt,
    clockSkewMillis: Math.round(report.clockSkew),
    batch: report.batch,
  };
}

/** Throws Refusal for a batch that no proxy of ours sends: a replica of another version must not poison this one. */
export function reportFromWire(report: ReplicaReport, replica: string): ProxyReport | undefined {
  const { podUid, namespace, pod, connected, receivedMillis: receivedAt, clockSkewMillis: clockSkew, batch } = report;
  if (podUid === "" || batch === undefined) return undefined;
  return { replica, podUid, namespace, pod, connected, receivedAt, clockSkew, batch: checkReport(batch) };
}
