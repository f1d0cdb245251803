import { expect, test } from "bun:test";
import { REASONS, type Reason } from "../mesh/index.ts";
import { METRICS, type MetricSources, Metrics, renderMetrics } from "./metrics.ts";

const NOTHING: MetricSources = {
  certificateExpiry: () => undefined,
  bundleSequence: () => undefined,
  discoveryConnected: () => false,
  discoveryEntries: () => 0,
  ready: () => false,
  outboundTunnels: () => 0,
  inboundTunnels: () => 0,
};

interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** The strict reading of the text format 0.0.4: anything else throws. */
function parse(text: string): Sample[] {
  if (!text.endsWith("\n")) throw new Error("the last line does not end");
  const types = new Map<string, string>();
  const samples: Sample[] = [];
  let family = "";
  for (const line of text.slice(0, -1).split("\n")) {
    const help = /^# HELP ([a-z_]+) \S[^\\]*$/.exec(line);
    const type = /^# TYPE ([a-z_]+) (counter|gauge)$/.exec(line);
    const sample = /^([a-z_]+)(?:\{(.*)\})? (-?\d+(?:\.\d+)?)$/.exec(line);
    if (help?.[1] !== undefined) {
      if (types.has(help[1])) throw new Error(`${help[1]} comes twice`);
      family = help[1];
    } else if (type?.[1] !== undefined && type[1] === family) types.set(family, type[2] ?? "");
    else if (sample?.[1] !== undefined && sample[1] === family && types.has(family)) {
      const labels: Record<string, string> = {};
      let rest = sample[2] ?? "";
      while (rest !== "") {
        const label = /^([a-z_]+)="((?:[^"\\\n]|\\[\\"n])*)"(?:,|$)/.exec(rest);
        if (label?.[1] === undefined) throw new Error(`not a label: ${rest}`);
        labels[label[1]] = label[2] ?? "";
        rest = rest.slice(label[0].length);
      }
      samples.push({ name: family, labels, value: Number(sample[3]) });
    } else throw new Error(`not a line of the format: ${line}`);
  }
  return samples;
}

function sampleOf(
  samples: readonly Sample[],
  name: string,
  labels: Readonly<Record<string, string>> = {},
): number | undefined {
  return samples.find((sample) => sample.name === name && Bun.deepEquals(sample.labels, labels))?.value;
}

test("every family is valid Prometheus text, also when there is nothing to tell", () => {
  const samples = parse(renderMetrics(new Metrics(), NOTHING, { version: "1.2.3" }));
  expect(sampleOf(samples, "tulle_ready")).toBe(0);
  expect(sampleOf(samples, "tulle_certificate_expiry_seconds")).toBeUndefined();
  expect(sampleOf(samples, "tulle_build_info", { version: "1.2.3" })).toBe(1);
});

test("counters end in _total and gauges do not", () => {
  for (const { name, type } of METRICS) expect([name, name.endsWith("_total")]).toEqual([name, type === "counter"]);
});

test("says of every reason how often it came, in both directions, and labels are words of closed lists", () => {
  const metrics = new Metrics();
  const reasons = Object.keys(REASONS) as Reason[];
  for (const [index, reason] of reasons.entries()) {
    for (let i = 0; i <= index; i++) metrics.count("inbound", reason);
    metrics.count("outbound", reason);
  }
  const samples = parse(renderMetrics(metrics, NOTHING, { version: "1" }));
  for (const [index, reason] of reasons.entries()) {
    expect(sampleOf(samples, "tulle_connections_total", { direction: "inbound", reason })).toBe(index + 1);
  }
  const words = new Set(["inbound", "outbound", "issued", "failed", "1", ...reasons]);
  for (const { labels } of samples) for (const word of Object.values(labels)) expect(words).toContain(word);
});

test("gauges are read at the scrape", () => {
  const metrics = new Metrics();
  Object.assign(metrics.inbound, { opened: 5, closed: 3, sent: 7, received: 9 });
  const sources = {
    ...NOTHING,
    certificateExpiry: () => 1_767_225_600_500,
    bundleSequence: () => 4,
    ready: () => true,
  };
  const samples = parse(renderMetrics(metrics, sources, { version: "1" }));
  const inbound = { direction: "inbound" };
  expect(sampleOf(samples, "tulle_connections_active", inbound)).toBe(2);
  expect(sampleOf(samples, "tulle_sent_bytes_total", inbound)).toBe(7);
  expect(sampleOf(samples, "tulle_received_bytes_total", inbound)).toBe(9);
  expect(sampleOf(samples, "tulle_certificate_expiry_seconds")).toBe(1_767_225_600.5);
  expect(sampleOf(samples, "tulle_trust_bundle_sequence")).toBe(4);
  expect(sampleOf(samples, "tulle_ready")).toBe(1);
});

test("a version with quotes and line ends stays one label", () => {
  const samples = parse(renderMetrics(new Metrics(), NOTHING, { version: 'a"b\\c\nd' }));
  expect(sampleOf(samples, "tulle_build_info", { version: 'a\\"b\\\\c\\nd' })).toBe(1);
});
