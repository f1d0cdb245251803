/**
 * install: puts the operator into a cluster, judges it, and takes it away again. Renders the chart charts/tulle itself, without
 * Helm; what it does in a cluster goes through kube/. Never runs in a pod.
 */
export { InstallError } from "./errors.ts";
export { givenValues, type Manifest, renderChart, type ValueSources } from "./render.ts";
export type { Schema } from "./values/schema.ts";
