import { describe, expect, test } from "bun:test";
import { parseManifests } from "./parse.ts";
import { ManifestError } from "./problems.ts";

function problems(text: string): string {
  try {
    parseManifests([{ name: "m.yaml", text }]);
    return "";
  } catch (error) {
    if (error instanceof ManifestError) return error.message;
    throw error;
  }
}

describe("a document that is hostile before it means anything is refused, and costs no more than its length", () => {
  test("aliases that grow", () => {
    const words = `[${"sh, ".repeat(1000)}sh]`;
    const container = `{name: c, image: x, command: &w ${words}, args: *w}`;
    const containers = `[&c ${container}${", *c".repeat(1000)}]`;
    const pod = `{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: ${containers}}}`;
    expect(problems(`{apiVersion: v1, kind: List, items: [&p ${pod}${", *p".repeat(100)}]}`)).toMatch(
      /come to \d+ values/,
    );
  });

  test("an alias that holds itself", () => {
    const text = "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\nspec: &a {b: *a}\n";
    expect(problems(text)).toContain("m.yaml:4:14: the alias *a holds itself");
  });

  test("a key that is there twice, with its place", () => {
    expect(problems("apiVersion: v1\nkind: Namespace\nkind: Pod\n")).toContain(
      'm.yaml:3:1: the key "kind" is there twice',
    );
  });

  test("20,000 keys are no trouble", () => {
    const keys = Array.from({ length: 20_000 }, (_, index) => `k${index}: v`).join("\n  ");
    expect(problems(`apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  ${keys}\n`)).toBe("");
  });
});

test("ordinary anchors and merge keys are taken", () => {
  const text = `apiVersion: v1
kind: Pod
metadata: {name: a}
spec:
  containers:
    - &c {name: one, image: x, command: [sleep]}
    - {<<: *c, name: two}
`;
  expect(problems(text)).toBe("");
});

test("a field that is null is one that is not there", () => {
  const text =
    "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {volumes: [{name: v, configMap: null, emptyDir: {}}], ";
  expect(problems(`${text}containers: [{name: c, image: x, command: [sleep], env: null}]}}`)).toBe("");
});
