/**
 * The chart charts/tulle as it lies in the binary: `tulle install` renders the very files that Helm does. A template that is
 * missing here is found by a test.
 */
import helpers from "../../charts/tulle/templates/_helpers.tpl" with { type: "text" };
import clusterRole from "../../charts/tulle/templates/clusterrole.yaml" with { type: "text" };
import clusterRoleBinding from "../../charts/tulle/templates/clusterrolebinding.yaml" with { type: "text" };
import deployment from "../../charts/tulle/templates/deployment.yaml" with { type: "text" };
import injector from "../../charts/tulle/templates/injector.yaml" with { type: "text" };
import namespace from "../../charts/tulle/templates/namespace.yaml" with { type: "text" };
import networkPolicy from "../../charts/tulle/templates/networkpolicy.yaml" with { type: "text" };
import podDisruptionBudget from "../../charts/tulle/templates/poddisruptionbudget.yaml" with { type: "text" };
import podMonitor from "../../charts/tulle/templates/podmonitor.yaml" with { type: "text" };
import role from "../../charts/tulle/templates/role.yaml" with { type: "text" };
import roleBinding from "../../charts/tulle/templates/rolebinding.yaml" with { type: "text" };
import service from "../../charts/tulle/templates/service.yaml" with { type: "text" };
import serviceAccount from "../../charts/tulle/templates/serviceaccount.yaml" with { type: "text" };
import strict from "../../charts/tulle/templates/strict.yaml" with { type: "text" };
import schema from "../../charts/tulle/values.schema.json" with { type: "json" };
import values from "../../charts/tulle/values.yaml" with { type: "text" };
import highlyAvailable from "../../charts/tulle/values-ha.yaml" with { type: "text" };
import packageJson from "../../package.json" with { type: "json" };
import type { Schema } from "./values/schema.ts";

/** File name → text. */
export const TEMPLATES: Readonly<Record<string, string>> = {
  "_helpers.tpl": helpers,
  "clusterrole.yaml": clusterRole,
  "clusterrolebinding.yaml": clusterRoleBinding,
  "deployment.yaml": deployment,
  "injector.yaml": injector,
  "namespace.yaml": namespace,
  "networkpolicy.yaml": networkPolicy,
  "poddisruptionbudget.yaml": podDisruptionBudget,
  "podmonitor.yaml": podMonitor,
  "role.yaml": role,
  "rolebinding.yaml": roleBinding,
  "service.yaml": service,
  "serviceaccount.yaml": serviceAccount,
  "strict.yaml": strict,
};
export const DEFAULT_VALUES: string = values;
/** values-ha.yaml. */
export const HA_VALUES: string = highlyAvailable;
export const VALUES_SCHEMA: Schema = schema;
export const CHART_VERSION: string = packageJson.version;
