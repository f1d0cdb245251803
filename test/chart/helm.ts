/** Helm as the judge of our own renderer: what it makes of the chart, or of a chart of one template. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseAllDocuments } from "yaml";
import type { Manifest } from "../../src/install/index.ts";

const ROOT = join(import.meta.dir, "../..");
export const CHART = join(ROOT, "charts/tulle");
const HELM = join(ROOT, ".cache/helm/helm");

export interface HelmResult {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export async function helm(...args: readonly string[]): Promise<HelmResult> {
  const child = Bun.spawn([HELM, ...args], { stdin: "ignore", stdout: "pipe", stderr: "pipe", timeout: 60_000 });
  const [stdout, stderr, status] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { status, stdout, stderr };
}

/** The objects that `helm template` gives, read as kubectl reads YAML (0444 is octal), sorted by kind and name. */
export async function helmObjects(namespace: string, ...args: readonly string[]): Promise<readonly Manifest[]> {
  const { status, stdout, stderr } = await helm(
    "template",
    "tulle",
    CHART,
    "-n",
    namespace,
    "--kube-version",
    "1.30.0",
    ...args,
  );
  if (status !== 0) throw new Error(stderr);
  const objects = parseAllDocuments(stdout, { version: "1.1" }).map((document) => document.toJS() as Manifest | null);
  return sorted(objects.filter((one) => one !== null));
}

export function sorted(objects: readonly Manifest[]): readonly Manifest[] {
  const key = ({ kind, metadata }: Manifest) => `${kind}/${metadata.name}`;
  return [...objects].sort((a, b) => key(a).localeCompare(key(b)));
}

/** A chart of one template, gone with `using`. */
export class TinyChart implements Disposable {
  readonly folder = mkdtempSync(join(tmpdir(), "tulle-chart-"));

  constructor(template: string, values = "") {
    mkdirSync(join(this.folder, "templates"));
    writeFileSync(join(this.folder, "Chart.yaml"), "apiVersion: v2\nname: tiny\nversion: 1.2.3\nappVersion: 4.5.6\n");
    writeFileSync(join(this.folder, "values.yaml"), values);
    writeFileSync(join(this.folder, "templates/one.yaml"), template);
  }

  /** What Helm prints, without its own comment lines. Throws what it says when it refuses. */
  async render(...args: readonly string[]): Promise<string> {
    const { status, stdout, stderr } = await helm("template", "tiny", this.folder, "-n", "place", ...args);
    if (status !== 0) throw new Error(stderr);
    return stdout.replace(/^---\n# Source: .*\n/, "");
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true });
  }
}
