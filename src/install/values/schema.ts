/** Judges values by values.schema.json: the words of JSON Schema that it uses, and an error for any other. */
import { isMap } from "./merge.ts";

export interface Schema {
  readonly type?: string | readonly string[];
  readonly properties?: { readonly [name: string]: Schema };
  readonly additionalProperties?: boolean | Schema;
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly enum?: readonly unknown[];
  readonly pattern?: string;
  readonly minLength?: number;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly description?: string;
  readonly title?: string;
  readonly $schema?: string;
}

/** Every violation, each as `path: what is wrong`; none when the values are good. */
export function violations(value: unknown, schema: Schema, path = ""): readonly string[] {
  const at = path === "" ? "the values" : path;
  if (schema.type !== undefined && ![schema.type].flat().some((type) => isOfType(value, type)))
    return [`${at}: it is ${JSON.stringify(value)}, and must be ${[schema.type].flat().join(" or ")}`];
  if (schema.enum !== undefined && !schema.enum.includes(value))
    return [
      `${at}: it is ${JSON.stringify(value)}, and must be one of ${schema.enum.map((one) => JSON.stringify(one)).join(", ")}`,
    ];
  if (typeof value === "string") {
    if (schema.pattern !== undefined && !new RegExp(schema.pattern).test(value))
      return [`${at}: ${JSON.stringify(value)} does not match ${schema.pattern}`];
    if (value.length < (schema.minLength ?? 0)) return [`${at}: it is empty`];
  }
  if (typeof value === "number") {
    if (value < (schema.minimum ?? -Infinity)) return [`${at}: ${value} is less than ${schema.minimum}`];
    if (value > (schema.maximum ?? Infinity)) return [`${at}: ${value} is more than ${schema.maximum}`];
  }
  if (Array.isArray(value))
    return value.flatMap((one, index) => violations(one, schema.items ?? {}, `${path}[${index}]`));
  if (isMap(value)) {
    const missing = (schema.required ?? [])
      .filter((name) => !(name in value))
      .map((name) => `${at}: ${name} is missing`);
    const inner = Object.entries(value).flatMap(([name, one]) => {
      const inside = path === "" ? name : `${path}.${name}`;
      const known = schema.properties?.[name];
      if (known !== undefined) return violations(one, known, inside);
      if (schema.additionalProperties === false) return [`${inside}: there is no such value`];
      return typeof schema.additionalProperties === "object"
        ? violations(one, schema.additionalProperties, inside)
        : [];
    });
    return [...missing, ...inner];
  }
  return [];
}

function isOfType(value: unknown, type: string): boolean {
  switch (type) {
    case "array":
      return Array.isArray(value);
    case "object":
      return isMap(value);
    case "integer":
      return Number.isInteger(value);
    case "null":
      return value === null;
    default:
      return typeof value === type;
  }
}
