/** Kubernetes' label selectors (apimachinery labels.Selector): an empty one selects everything. */
import type { LabelSelector } from "../objects.ts";

type Labels = Readonly<Record<string, string>>;

export function selects({ matchLabels = {}, matchExpressions = [] }: LabelSelector, labels: Labels): boolean {
  return (
    Object.entries(matchLabels).every(([key, value]) => labels[key] === value) &&
    matchExpressions.every((expression) => meets(expression, labels))
  );
}

type Expression = NonNullable<LabelSelector["matchExpressions"]>[number];

function meets({ key, operator, values = [] }: Expression, labels: Labels): boolean {
  const value = labels[key];
  switch (operator) {
    case "In":
      return value !== undefined && values.includes(value);
    case "NotIn":
      return value === undefined || !values.includes(value);
    case "Exists":
      return value !== undefined;
    case "DoesNotExist":
      return value === undefined;
  }
}
