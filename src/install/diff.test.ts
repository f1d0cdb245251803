import { expect, test } from "bun:test";
import { differences } from "./diff.ts";

test("names the changed fields, and containers by their names", () => {
  const spec = (image: string) => ({
    replicas: 2,
    template: {
      containers: [
        { name: "a", image: "x" },
        { name: "b", image },
      ],
    },
  });
  expect(differences({ spec: spec("1") }, { spec: { ...spec("2"), replicas: 3 } })).toEqual([
    { path: "spec.replicas", before: 2, after: 3 },
    { path: "spec.template.containers[b].image", before: "1", after: "2" },
  ]);
});

test("takes no notice of what the API server notes for itself", () => {
  const of = (version: string, ready: number) => ({
    metadata: { name: "a", resourceVersion: version, managedFields: [version] },
    status: { ready },
  });
  expect(differences(of("1", 1), of("2", 2))).toEqual([]);
});

test("tells added, taken away and reordered", () => {
  expect(differences({ a: 1 }, { b: 2 })).toEqual([
    { path: "a", before: 1, after: undefined },
    { path: "b", before: undefined, after: 2 },
  ]);
  expect(differences({ l: ["x", "y"] }, { l: ["y", "x"] })).toHaveLength(1);
  expect(differences({ l: [{ name: "x" }] }, { l: [{ name: "x" }, { name: "y", v: 1 }] })).toEqual([
    { path: "l[y]", before: undefined, after: { name: "y", v: 1 } },
  ]);
});
