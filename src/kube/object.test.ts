import { expect, test } from "bun:test";
import { labelWrittenAt, type ManagedFields } from "./object.ts";

const NOON = Date.UTC(2026, 0, 15, 12);
const writes = (label: string, time?: string): ManagedFields => ({
  ...(time === undefined ? {} : { time }),
  fieldsV1: { "f:metadata": { "f:labels": { ".": {}, [`f:${label}`]: {} } } },
});
const namespace = (managedFields: readonly ManagedFields[] | undefined, labels = { color: "red" }) => ({
  metadata: { name: "a", labels, ...(managedFields === undefined ? {} : { managedFields }) },
});

test("a label's time is that of its managers' last change; another label's does not count", () => {
  const fields = [writes("color", "2026-01-15T11:00:00Z"), writes("color", "2026-01-15T12:00:00Z")];
  const others = [writes("size", "2026-01-15T13:00:00Z"), { time: "2026-01-15T14:00:00Z", fieldsV1: { "f:spec": {} } }];
  expect(labelWrittenAt(namespace([...fields, ...others]), "color")).toBe(NOON);
});

test("nobody knows it without the label, without managed fields, or without their time", () => {
  expect(labelWrittenAt(namespace([writes("size", "2026-01-15T12:00:00Z")]), "size")).toBeUndefined();
  expect(labelWrittenAt(namespace(undefined), "color")).toBeUndefined();
  expect(labelWrittenAt(namespace([writes("color")]), "color")).toBeUndefined();
  expect(labelWrittenAt(namespace([{ time: "2026-01-15T12:00:00Z", fieldsV1: "x" }]), "color")).toBeUndefined();
});
