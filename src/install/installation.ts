/** What is installed already, by whom and where: one mesh a cluster, and one hand that manages it. */
import { OPERATOR_NAMES } from "../mesh/index.ts";
import { type Cluster, FIELD_MANAGER, find } from "./cluster.ts";
import { InstallError } from "./errors.ts";
import { CLUSTER_ROLE_BINDINGS, CONFIG_MAPS, DEPLOYMENTS, MUTATING_WEBHOOKS } from "./objects.ts";
import { parseValues, type Values } from "./values/merge.ts";
import { writeYaml } from "./yaml.ts";

export interface Installation {
  readonly namespace: string;
  readonly version: string | undefined;
  /** Name of the Helm release, when Helm made it. */
  readonly helmRelease: string | undefined;
}

/**
 * Undefined when nothing of the mesh is there that tells its namespace: injector, operator, or, after a removal that stopped
 * halfway, the binding of the operator's rights.
 */
export async function findInstallation(cluster: Cluster): Promise<Installation | undefined> {
  const injector = await find(cluster, MUTATING_WEBHOOKS, { name: OPERATOR_NAMES.injector });
  const binding = await find(cluster, CLUSTER_ROLE_BINDINGS, { name: OPERATOR_NAMES.operator });
  const namespace =
    injector?.webhooks?.[0]?.clientConfig.service?.namespace ?? binding?.subjects?.[0]?.namespace ?? cluster.namespace;
  const operator = await find(cluster, DEPLOYMENTS, { namespace, name: OPERATOR_NAMES.operator });
  const witness = operator ?? injector ?? binding;
  if (witness === undefined) return undefined;
  const { metadata } = witness;
  return {
    namespace,
    version: metadata.labels?.["app.kubernetes.io/version"],
    helmRelease: metadata.annotations?.["meta.helm.sh/release-name"],
  };
}

/** Throws where another namespace holds the mesh: the objects without a namespace, and every trust bundle, are its own. */
export function mayTouch(cluster: Cluster, found: Installation | undefined): void {
  if (found === undefined || found.namespace === cluster.namespace) return;
  throw new InstallError(
    "other-namespace",
    `Tulle is installed in namespace ${found.namespace}, and a cluster holds one mesh`,
    { hint: `Use --namespace ${found.namespace}, or uninstall it there first.` },
  );
}

/** Throws where this command must not write: another namespace holds the mesh, or Helm does. */
export function mayWrite(cluster: Cluster, found: Installation | undefined): void {
  mayTouch(cluster, found);
  if (found?.helmRelease !== undefined)
    throw new InstallError("helm-manages", `Tulle was installed by Helm, as release ${found.helmRelease}`, {
      hint: `Use helm upgrade ${found.helmRelease} --namespace ${found.namespace}: two hands on the same objects undo each other.`,
    });
}

/** The values that the last installation was given, or undefined: then it was applied by other means than ours. */
export async function readRecord(cluster: Cluster): Promise<Values | undefined> {
  const { namespace } = cluster;
  const record = await find(cluster, CONFIG_MAPS, { namespace, name: OPERATOR_NAMES.installRecord });
  const text = record?.data?.["values.yaml"];
  return text === undefined ? undefined : parseValues(text, `ConfigMap ${namespace}/${OPERATOR_NAMES.installRecord}`);
}

/** Keeps what the user said, so that `tulle upgrade` need not be told again. */
export async function writeRecord(cluster: Cluster, given: Values, version: string): Promise<void> {
  const { client, namespace } = cluster;
  await client.apply(
    CONFIG_MAPS,
    {
      metadata: {
        namespace,
        name: OPERATOR_NAMES.installRecord,
        labels: { "app.kubernetes.io/name": "tulle", "app.kubernetes.io/part-of": "tulle" },
      },
      data: { "values.yaml": Object.keys(given).length > 0 ? `${writeYaml(given)}\n` : "", version },
    },
    { fieldManager: FIELD_MANAGER, force: true },
  );
}
