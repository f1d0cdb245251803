/**
 * install: puts the operator into a cluster, judges it, and takes it away again. Renders the chart charts/tulle itself, without
 * Helm; what it does in a cluster goes through kube/. Never runs in a pod.
 */
export type { Change } from "./apply.ts";
export { DEFAULT_VALUES } from "./chart.ts";
export type { Verdict } from "./check/finding.ts";
export { type CheckResult, runChecks } from "./check/run.ts";
export { takeSnapshot } from "./check/snapshot.ts";
export type { Cluster, Progress } from "./cluster.ts";
export type { Difference } from "./diff.ts";
export { InstallError } from "./errors.ts";
export { install, planUpgrade, renderForApply, type UpgradePlan, upgrade } from "./install.ts";
export { findInstallation, type Installation } from "./installation.ts";
export { nameOf } from "./objects.ts";
export { waitUntilReady } from "./readiness.ts";
export { givenValues, type Manifest, renderChart, type ValueSources } from "./render.ts";
export { readMesh, type StatusQuestion } from "./status/read.ts";
export { type UninstallOptions, uninstall } from "./uninstall.ts";
export type { Schema } from "./values/schema.ts";
export { writeYaml } from "./yaml.ts";
