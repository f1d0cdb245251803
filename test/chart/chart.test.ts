/**
 * Helm judges the chart and our own renderer of it: both must give the same objects. Needs Helm in .cache/helm
 * (`make chart-check` builds it).
 */
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { parse } from "yaml";
import { givenValues, renderChart, type ValueSources } from "../../src/install/index.ts";
import { parseTemplate } from "../../src/install/template/parser.ts";
import { renderTemplates } from "../../src/install/template/render.ts";
import { mergeValues, parseValues } from "../../src/install/values/merge.ts";
import { setValues } from "../../src/install/values/set.ts";
import { CHART, helm, helmObjects, sorted, TinyChart } from "./helm.ts";

const HA = ["-f", join(CHART, "values-ha.yaml")];
const sets = (...set: string[]) => set.flatMap((one) => ["--set", one]);

describe("the chart", () => {
  test("passes helm lint --strict, with the defaults and highly available", async () => {
    for (const values of [[], HA]) {
      const { status, stdout } = await helm("lint", "--strict", "--kube-version", "1.30.0", CHART, ...values);
      expect({ status, stdout }).toEqual({ status: 0, stdout: expect.stringContaining("0 chart(s) failed") });
    }
  });

  const COMBINATIONS: readonly {
    readonly name: string;
    readonly sources: ValueSources;
    readonly helm: readonly string[];
  }[] = [
    { name: "defaults", sources: {}, helm: [] },
    { name: "highly available", sources: { ha: true }, helm: HA },
    ...[
      ["namespace.create=true", "mesh.mode=strict"],
      ["podMonitor.enabled=true", "podMonitor.labels.release=prometheus", "podMonitor.interval=15s"],
      ["podMonitor.enabled=true", "podMonitor.sidecars=false"],
      ["injection.allowEviction=true", "injection.legacyIptables=true", "injection.timeoutSeconds=5"],
      ["mesh.podCidrs={10.0.0.0/8,fd00::/8}", "mesh.serviceCidrs={10.96.0.0/12}", "mesh.trustDomain=example.org"],
      ["imagePullSecrets[0].name=pull", "image.repository=example/tulle", "image.tag=v9", "image.pullPolicy=Always"],
      [`image.digest=sha256:${"a".repeat(64)}`, "injection.image=example/other:1"],
      ["networkPolicy.enabled=true", "networkPolicy.metricsFrom[0].podSelector.matchLabels.app=prometheus"],
      [
        "antiAffinity=none",
        "zoneSpread=",
        "priorityClassName=high",
        "podDisruptionBudget.enabled=false",
        "resources=null",
      ],
      ["antiAffinity=required", "podDisruptionBudget.maxUnavailable=50%", "logLevel=debug", "replicas=5"],
      [
        "tolerations[0].key=a",
        "tolerations[0].operator=Exists",
        "nodeSelector.disk=ssd",
        "podLabels.a=b",
        "podAnnotations.c=d e",
      ],
      ["resources.limits.memory=1Gi", "resources.limits.cpu=2", "resources.requests=null"],
    ].map((set) => ({ name: set.join(" "), sources: { set }, helm: sets(...set) })),
    {
      name: "text that looks like something else",
      sources: { setString: ["podAnnotations.number=1", "podLabels.yes=true", "nodeSelector.empty="] },
      helm: ["podAnnotations.number=1", "podLabels.yes=true", "nodeSelector.empty="].flatMap((one) => [
        "--set-string",
        one,
      ]),
    },
  ];
  test.each(COMBINATIONS.map((one) => [one.name, one] as const))(
    "gives the same objects by Helm and by tulle install: %s",
    async (_, { sources, helm: args }) => {
      const ours = renderChart(givenValues(sources), "mesh-home");
      expect(sorted(ours)).toEqual((await helmObjects("mesh-home", ...args)) as typeof ours);
    },
  );

  test.each([
    "replicas=0",
    "replicas=two",
    "mesh.mode=STRICT",
    "mesh.leafLifetime=1d",
    "mesh.modus=strict",
    "antiAffinity=",
    "injection.timeoutSeconds=31",
    "mesh.podCidrs={ten}",
    "imagePullSecrets[0].nam=x",
    "podDisruptionBudget.maxUnavailable=half",
    "podLabels.a=1",
    "image.digest=sha256:12",
  ])("refuses the same values by Helm and by tulle install: %s", async (set) => {
    await expect(helmObjects("tulle-system", ...sets(set))).rejects.toThrow(/- at '|additional properties/);
    expect(() => renderChart(givenValues({ set: [set] }), "tulle-system")).toThrow(
      expect.objectContaining({ code: "bad-values", exitCode: 2 }),
    );
  });
});

describe("templates, as Helm renders them", () => {
  const VALUES = {
    text: "t",
    number: 2,
    zero: 0,
    none: "",
    yes: true,
    list: ["a", "b"],
    map: { in: { z: "q" }, x: 1 },
    empty: {},
  };
  const ofValues = (template: string) => ({ template, values: JSON.stringify(VALUES) });
  test.each(
    [
      "a: {{ .Values.text }}",
      'a: {{ .Values.text | quote }}\nb: {{ quote "x\\"y" }}',
      "a: {{ .Values.number }}\nb: {{ .Values.yes }}",
      "x: 1\n\n  {{- if .Values.yes }}\ny: 2\n{{- end }}\n",
      "{{ if .Values.zero }}a: 1{{ else if .Values.none }}a: 2{{ else }}a: 3{{ end }}",
      "{{ if .Values.empty }}a: 1{{ else if .Values.list }}a: 2{{ end }}",
      "{{- /* nothing }} here */ -}}\na: 1",
      'a: {{ "}}" | quote }}',
      "{{- with .Values.map }}\na: {{ .x }}\nb: {{ $.Values.text }}\nc: {{ .in.z }}\n{{- end }}",
      "{{- with .Values.none }}\na: 1\n{{- else }}\na: {{ .Values.text }}\n{{- end }}",
      "a:\n  {{- toYaml .Values.map | nindent 2 }}",
      "a:{{ toYaml .Values.list | nindent 1 }}",
      'a: {{ .Values.none | default "d" }}\nb: {{ .Values.missing | default .Values.text }}\nc: {{ default 7 .Values.zero }}',
      'a: {{ printf "%s@%s" .Values.text .Chart.AppVersion }}',
      'a: {{ join "," .Values.list }}',
      '{{ if eq .Values.text "t" }}a: 1{{ end }}\n{{ if ne .Values.text "t" }}b: 1{{ end }}',
      'a: {{ .Values.none | default (printf "%s:%s" .Release.Namespace .Chart.AppVersion) }}',
      '{{ define "n" }}k: {{ .Values.text }}{{ end }}a:\n  {{- include "n" . | nindent 2 }}',
      '{{ define "n" -}}\nk: {{ $.x }}\n{{- end -}}\na:\n  {{- include "n" .Values.map | nindent 2 }}\n',
      "a: {{ .Release.Namespace }}-{{ .Chart.AppVersion -}}   \n# {{- .Values.text }}",
    ].map(ofValues),
  )("$template", async ({ template, values }) => {
    using tiny = new TinyChart(template, values);
    const ours = renderTemplates(new Map([["one", parseTemplate(template, "one")]]), {
      Values: VALUES,
      Release: { Namespace: "place" },
      Chart: { AppVersion: "4.5.6" },
    }).get("one");
    expect(ours?.trim()).toBe((await tiny.render()).trim());
  });

  test.each([
    "{{ if .Values.text }}a: 1",
    "{{ end }}",
    "a: {{ .Values.text.x }}",
    "a: {{ nosuch 1 }}",
    'a: {{ include "no" . }}',
    "a: {{",
  ])("refuses %s as Helm does", async (template) => {
    using tiny = new TinyChart(template, JSON.stringify(VALUES));
    await expect(tiny.render()).rejects.toThrow();
    expect(() => renderTemplates(new Map([["one", parseTemplate(template, "one")]]), { Values: VALUES })).toThrow(
      expect.objectContaining({ code: "bad-template" }),
    );
  });
});

test("values files mean the same to Helm and to tulle install: YAML 1.1", async () => {
  const text = "a: yes\nb: off\nc: 012\nd: 1e3\ne: 2020-01-01\nf: 1:30\ng: ~\nh: 'y'\ni: 0x10\n";
  using tiny = new TinyChart("{{ toYaml .Values }}", text);
  expect(parseValues(text, "values")).toEqual({ ...(parse(await tiny.render()) as object), g: null });
});

describe("--set, as Helm reads it", () => {
  test.each([
    "a=1",
    "a=1,b=two",
    "a.b.c=x",
    "a.b=x,a.c=y",
    "a={x,y,3,true}",
    "a={}",
    "a[0]=x,a[1].b=y",
    "a[2]=z",
    "a\\.b=x",
    "a=x\\,y",
    "a=x=y",
    "a=true,b=false,c=null",
    "a=007,b=0,c=-5",
    "a=1.5,b=1e3",
    "a=",
    "a= x ",
    "m.x=null",
    "l[0]=9",
    "a=12345678901234567890",
  ])("%s", async (argument) => {
    const values = { m: { x: 1, y: 2 }, l: [1, 2] };
    using tiny = new TinyChart("{{ toYaml .Values }}", JSON.stringify(values));
    const theirs: unknown = parse(await tiny.render("--set", argument));
    // Helm merges what --set gives into the defaults; null takes one away.
    expect(mergeValues(values, setValues({}, argument))).toEqual(theirs as typeof values);
  });

  test.each(["a", "=1", "a.=1", ""])("refuses %p", (argument) => {
    if (argument === "")
      return expect(() => setValues({}, "a=1,")).toThrow(expect.objectContaining({ code: "bad-set" }));
    expect(() => setValues({}, argument)).toThrow(expect.objectContaining({ code: "bad-set", exitCode: 2 }));
  });
});
