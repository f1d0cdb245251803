/** `dist/tulle` against the test cluster. */
import { type Cluster, command } from "../support/cluster.ts";
import { TULLE } from "../support/machine.ts";
import type { ExecResult } from "../support/netns.ts";

export interface CheckLine {
  readonly id: string;
  readonly verdict: "pass" | "warn" | "fail";
  readonly findings: readonly { readonly text: string; readonly fix?: string }[];
}

export class Tulle {
  readonly #cluster: Cluster;

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
  }

  try(...args: readonly string[]): Promise<ExecResult> {
    return command(["env", `KUBECONFIG=${this.#cluster.kubeconfig}`, TULLE, ...args], { timeout: 110_000 });
  }

  /** Throws when it fails; answers both outputs. */
  async run(...args: readonly string[]): Promise<string> {
    const { status, stdout, stderr } = await this.try(...args);
    if (status !== 0) throw new Error(`tulle ${args.join(" ")} ended with ${status}: ${stderr}${stdout}`);
    return `${stdout}${stderr}`;
  }

  /** What `tulle check` says, by the check's id. */
  async check(...args: readonly string[]): Promise<ReadonlyMap<string, CheckLine>> {
    const { stdout, stderr } = await this.try("check", "-o", "json", ...args);
    if (stdout === "") throw new Error(stderr);
    return new Map((JSON.parse(stdout) as readonly CheckLine[]).map((line) => [line.id, line]));
  }
}

/** A Deployment of one container that sleeps and ends at once. */
export function sleeper(name: string, labels: Readonly<Record<string, string>> = {}) {
  const app = { app: name };
  const container = { name: "app", image: "ubuntu:local", command: ["sleep", "infinity"] };
  const spec = { terminationGracePeriodSeconds: 0, containers: [container] };
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name },
    spec: {
      replicas: 1,
      selector: { matchLabels: app },
      template: { metadata: { labels: { ...app, ...labels } }, spec },
    },
  };
}
