/** Installation and upgrade: values and chart → objects in the cluster. */
import { OPERATOR_NAMES } from "../mesh/index.ts";
import { applyObjects, type Change } from "./apply.ts";
import { CHART_VERSION } from "./chart.ts";
import { type Cluster, find, type Progress } from "./cluster.ts";
import { InstallError } from "./errors.ts";
import { findInstallation, mayWrite, readRecord, writeRecord } from "./installation.ts";
import { isOurs, NAMESPACES } from "./objects.ts";
import { type Manifest, renderChart } from "./render.ts";
import { mergeValues, type Values } from "./values/merge.ts";

/** The chart rendered for `kubectl apply`: with the operator's namespace, unless the values say otherwise. */
export function renderForApply(given: Values, namespace: string): readonly Manifest[] {
  return renderChart(mergeValues({ namespace: { create: true } }, given), namespace);
}

/** Throws where another namespace or Helm holds the mesh. */
export async function install(cluster: Cluster, given: Values, progress: Progress): Promise<readonly Change[]> {
  mayWrite(cluster, await findInstallation(cluster));
  return write(cluster, given, progress);
}

export interface UpgradePlan {
  readonly from: string | undefined;
  readonly to: string;
  readonly given: Values;
  readonly changes: readonly Change[];
}

const SILENT: Progress = { step() {}, done() {}, note() {} };

/**
 * What an upgrade would change, asked of the API server in a dry run. The values are those of the last installation with the
 * given ones over them; `reset` begins from the chart's defaults.
 */
export async function planUpgrade(cluster: Cluster, over: Values, reset: boolean): Promise<UpgradePlan> {
  const found = await findInstallation(cluster);
  mayWrite(cluster, found);
  if (found === undefined)
    throw new InstallError("not-installed", `there is no Tulle in namespace ${cluster.namespace}`, {
      hint: "Install it: tulle install --wait.",
    });
  const recorded = reset ? {} : await readRecord(cluster);
  if (recorded === undefined && Object.keys(over).length === 0)
    throw new InstallError(
      "no-record",
      `it is not recorded with which values Tulle was installed (no ConfigMap ${OPERATOR_NAMES.installRecord})`,
      {
        exitCode: 2,
        hint: "Give the values that are to hold, by -f or --set, or --reset-values for the chart's defaults.",
      },
    );
  const given = mergeValues(recorded ?? {}, over);
  const changes = await applyObjects(cluster, await objectsFor(cluster, given), SILENT, { dryRun: true });
  return { from: found.version, to: CHART_VERSION, given, changes };
}

export function upgrade(cluster: Cluster, { given }: UpgradePlan, progress: Progress): Promise<readonly Change[]> {
  return write(cluster, given, progress);
}

async function write(cluster: Cluster, given: Values, progress: Progress): Promise<readonly Change[]> {
  const changes = await applyObjects(cluster, await objectsFor(cluster, given), progress);
  await writeRecord(cluster, given, CHART_VERSION);
  return changes;
}

/** A namespace that somebody else made stays theirs: it is neither labelled nor, later, deleted. */
async function objectsFor(cluster: Cluster, given: Values): Promise<readonly Manifest[]> {
  const there = await find(cluster, NAMESPACES, { name: cluster.namespace });
  if (there?.metadata.deletionTimestamp !== undefined)
    throw new InstallError("not-ready", `namespace ${cluster.namespace} is being deleted`, {
      hint: `Wait until it is gone (kubectl wait --for=delete namespace/${cluster.namespace}), then try again.`,
    });
  const ours = there === undefined || isOurs(there);
  return ours ? renderForApply(given, cluster.namespace) : renderChart(given, cluster.namespace);
}
