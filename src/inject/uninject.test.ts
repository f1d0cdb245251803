import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { parseAllDocuments, stringify } from "yaml";
import { applyPatch, InjectError, injectManifest, injectPod, type JsonObject, uninjectManifest } from "./index.ts";
import { CORPUS, POD, PROBED, RANDOM_MANIFEST } from "./manifests.fixture.ts";

const CONFIG = {
  image: "tulle:latest",
  version: "0.1.0",
  trustDomain: "cluster.local",
  operatorAddress: "tulle-operator.tulle-system.svc:15012",
};
const inject = (text: string) => injectManifest(text, CONFIG).text;
const objects = (text: string) => {
  const documents = parseAllDocuments(text);
  return "empty" in documents ? [] : documents.map((document) => document.toJS() as unknown);
};

describe("uninject gives back what inject was given, byte for byte:", () => {
  test.each([...CORPUS, ...PROBED])("%s", (_name, text) => {
    const meshed = inject(text);
    expect(meshed).not.toBe(text);
    expect(uninjectManifest(meshed).text).toBe(text);
  });

  test("random manifests in random styles", () => {
    fc.assert(
      fc.property(RANDOM_MANIFEST, (text) => {
        const meshed = inject(text);
        const back = uninjectManifest(meshed);
        expect(back.results.every((one) => one.outcome === "exact")).toBe(true);
        expect(back.text).toBe(text);
        expect(inject(meshed)).toBe(meshed);
      }),
      { numRuns: 60 },
    );
  });

  test("several files after each other, and a part of one", () => {
    const two = CORPUS.slice(0, 3).map(([, text]) => text.replaceAll("\r\n", "\n").trimEnd());
    expect(uninjectManifest(two.map(inject).join("\n---\n")).text).toBe(two.join("\n---\n"));
  });

  test("what holds no meshed pod passes untouched", () => {
    const text = `${POD}---\n# a service\nkind: Service\n`;
    expect(uninjectManifest(text)).toEqual({ text, results: [{ kind: "Pod", name: "app", outcome: "unmeshed" }] });
  });
});

describe("uninject after another tool", () => {
  test.each([...CORPUS, ...PROBED])("printed it anew as YAML: %s", (_name, text) => {
    const meshed = objects(inject(text)).map((one) => stringify(one, { sortMapEntries: true }));
    expect(objects(uninjectManifest(meshed.join("---\n")).text)).toEqual(objects(text));
  });

  test("printed random manifests anew as JSON or YAML", () => {
    fc.assert(
      fc.property(RANDOM_MANIFEST, fc.boolean(), (text, json) => {
        const [meshed] = objects(inject(text));
        const printed = json ? JSON.stringify(meshed, null, 4) : stringify(meshed);
        const back = uninjectManifest(printed).text;
        expect(objects(back)).toEqual(objects(text));
        if (json) expect(JSON.parse(back)).toEqual(objects(text)[0]);
      }),
      { numRuns: 60 },
    );
  });

  test("edited the text elsewhere: comments and edits stay", () => {
    const edited = inject(POD)
      .replace("spec:\n", "  # a note\nspec:\n  restartPolicy: Never\n")
      .replace('"bash"', '"bash:5"');
    const back = uninjectManifest(edited);
    expect(back.results[0]?.outcome).toBe("reprinted");
    expect(back.text).toContain("# a note");
    expect(objects(back.text)).toEqual(
      objects(POD.replace("spec:\n", "spec:\n  restartPolicy: Never\n").replace("bash", "bash:5")),
    );
  });

  test("only the documents that somebody printed anew are printed anew", () => {
    const other = stringify(objects(inject(POD))[0]);
    const back = uninjectManifest(`${inject(POD)}---\n${other}`);
    expect(back.results.map((one) => one.outcome)).toEqual(["exact", "reprinted"]);
    expect(back.text).toStartWith(`${POD}---\n`);
  });

  test("what the webhook patched comes back without a record", () => {
    fc.assert(
      fc.property(RANDOM_MANIFEST, (text) => {
        const pod = objects(text)[0] as JsonObject;
        if (pod["kind"] !== "Pod") return;
        const made = injectPod(pod, CONFIG);
        if (made.outcome !== "injected") throw new Error(made.outcome);
        expect(objects(uninjectManifest(stringify(applyPatch(pod, made.patch))).text)).toEqual([pod]);
      }),
      { numRuns: 50 },
    );
  });

  test("a record that means nothing is not believed", () => {
    for (const record of [
      "",
      "{",
      '{"cuts":[[-100000,5]]}',
      '{"cuts":[[0,3],[0,3]]}',
      '{"cuts":[["a",1]]}',
      '{"cuts":[[1e30,2]]}',
    ]) {
      const bent = inject(POD).replace(/tulle.dev\/original: .*/, `tulle.dev/original: '${record}'`);
      expect(objects(uninjectManifest(bent).text)).toEqual(objects(POD));
    }
  });

  test("an alias that cannot be resolved is malformed YAML, with the place", () => {
    const bent = `# first\n${POD}  note: *none\n`;
    for (const run of [() => uninjectManifest(bent, "app.yaml"), () => injectManifest(bent, CONFIG, "app.yaml")]) {
      expect(run).toThrow(InjectError);
      expect(run).toThrow(/^app.yaml:2:1: malformed YAML: Unresolved alias .*: none$/);
    }
  });

  test("a probe whose original was lost is refused, with the place", () => {
    const probed = `${POD}      livenessProbe:\n        tcpSocket: {port: 80}\n`;
    const bent = stringify(objects(inject(probed).replaceAll("TULLE_PROBES", "OTHER"))[0]);
    expect(() => uninjectManifest(bent, "app.yaml")).toThrow(InjectError);
    expect(() => uninjectManifest(bent, "app.yaml")).toThrow(
      /^app.yaml:1:1: Pod\/app: the liveness probe of container app/,
    );
  });
});
