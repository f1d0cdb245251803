/** Values → the objects of an installation, in the order in which they are to be applied. */
import { CHART_VERSION, DEFAULT_VALUES, HA_VALUES, TEMPLATES, VALUES_SCHEMA } from "./chart.ts";
import { InstallError, wrongUse } from "./errors.ts";
import { parseTemplate } from "./template/parser.ts";
import { renderTemplates } from "./template/render.ts";
import { mergeValues, parseValues, type Values } from "./values/merge.ts";
import { violations } from "./values/schema.ts";
import { setValues } from "./values/set.ts";
import { readYaml } from "./yaml.ts";

/** A rendered object. */
export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
  };
  readonly [field: string]: unknown;
}

export interface ValueSources {
  /** Begin with values-ha.yaml. */
  readonly ha?: boolean;
  readonly files?: readonly { readonly name: string; readonly text: string }[];
  /** `--set` arguments. */
  readonly set?: readonly string[];
  /** `--set-string` arguments. */
  readonly setString?: readonly string[];
}

/** What the user said, without the chart's defaults. */
export function givenValues({ ha = false, files = [], set = [], setString = [] }: ValueSources): Values {
  let values: Values = ha ? parseValues(HA_VALUES, "values-ha.yaml") : {};
  for (const { name, text } of files) values = mergeValues(values, parseValues(text, name));
  for (const argument of set) values = setValues(values, argument);
  for (const argument of setString) values = setValues(values, argument, true);
  return values;
}

/** Throws `bad-values` with every violation of the schema. */
export function renderChart(given: Values, namespace: string): readonly Manifest[] {
  const values = mergeValues(parseValues(DEFAULT_VALUES, "values.yaml"), given);
  const wrong = violations(values, VALUES_SCHEMA);
  if (wrong.length > 0)
    throw wrongUse(
      "bad-values",
      wrong.join("\n       "),
      "`tulle install --show-values` prints every value with its meaning.",
    );
  const templates = new Map(Object.entries(TEMPLATES).map(([file, text]) => [file, parseTemplate(text, file)]));
  const data = {
    Values: values,
    Release: { Name: "tulle", Namespace: namespace, Service: "tulle" },
    Chart: { Name: "tulle", Version: CHART_VERSION, AppVersion: CHART_VERSION },
  };
  const texts = renderTemplates(templates, data);
  const objects = [...texts].flatMap(([file, text]) => readYaml(text, file, "bad-template") as readonly Manifest[]);
  return objects.sort((a, b) => rank(a) - rank(b));
}

/** Every object that some installation may have, whatever its values were. */
export function everyObject(namespace: string): readonly Manifest[] {
  const on = ["namespace.create=true", "mesh.mode=strict", "networkPolicy.enabled=true", "podMonitor.enabled=true"];
  return renderChart(givenValues({ set: on }), namespace);
}

/**
 * What others need first; what judges new pods last, so that it never meets an operator that cannot be reached for want of
 * an object.
 */
const ORDER: readonly string[] = [
  "Namespace",
  "NetworkPolicy",
  "PodDisruptionBudget",
  "ServiceAccount",
  "ClusterRole",
  "ClusterRoleBinding",
  "Role",
  "RoleBinding",
  "Service",
  "Deployment",
  "PodMonitor",
  "MutatingWebhookConfiguration",
  "ValidatingAdmissionPolicy",
  "ValidatingAdmissionPolicyBinding",
];

function rank({ kind }: Manifest): number {
  const place = ORDER.indexOf(kind);
  if (place === -1)
    throw new InstallError("bad-template", `the chart renders a ${kind}, whose place in the order is not known`);
  return place;
}
