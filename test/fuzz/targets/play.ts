/** Manifests of the local node: refused with a place and a reason, or read into objects that every later step may believe. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { CORPUS, PROBED } from "../../../src/inject/manifests.fixture.ts";
import { parseManifests } from "../../../src/local/manifest/parse.ts";
import { ManifestError } from "../../../src/local/manifest/problems.ts";
import { bytesOf, promise, type Target, unlessRefused } from "../target.ts";

const example = (name: string) => readFileSync(join(import.meta.dir, "../../../examples", name), "utf8");

export const target: Target = {
  examples: [...[...CORPUS, ...PROBED].map(([, text]) => text), example("app.yaml"), example("app-meshed.yaml")].map(
    bytesOf,
  ),
  tokens: [
    ..."\n|\r\n|---\n|: |? |- |# x\n|&a |*a|!!str |!!binary |[|]|{|}|,|'|\"|<<: |\t|~|null|1e999|0x1|-1|\n  ".split(
      "|",
    ),
    ..."kind: Service|kind: Deployment|kind: ConfigMap|kind: List\nitems:\n|replicas: 2|selector:|matchLabels:|ports:".split(
      "|",
    ),
    ..."env:|valueFrom:|configMapKeyRef:|volumeMounts:|emptyDir: {}|command: [sh]|resources:|__proto__: {}".split("|"),
  ]
    .filter((token) => token !== "")
    .map(bytesOf),
  run(input) {
    const text = new TextDecoder().decode(input);
    const manifest = unlessRefused(
      () => parseManifests([{ name: "app.yaml", text }]),
      (error) =>
        error instanceof ManifestError &&
        error.problems.length > 0 &&
        error.problems.every(({ line, column, what }) => line >= 1 && column >= 1 && what !== ""),
    );
    for (const { object } of manifest?.objects ?? []) {
      promise(typeof object.metadata.name === "string" && object.metadata.name !== "", "what is accepted has a name");
      JSON.stringify(object);
    }
  },
};
