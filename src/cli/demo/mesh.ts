/** The demo's hands: everything it does to the mesh goes through the command line that a user has. */
import { selfCommand } from "../self.ts";

export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** What the demo reads of `tulle get pods -A -o json`. */
export interface PodLine {
  readonly namespace: string;
  readonly name: string;
  readonly ips: readonly string[];
}

/** Runs `tulle ARGS…`. */
export async function tulle(args: readonly string[], stdin = ""): Promise<Outcome> {
  const child = Bun.spawn([...selfCommand(), ...args], {
    stdin: Buffer.from(stdin),
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { code, stdout, stderr };
}

/** Runs a command in the namespaces of the node. */
export function onNode(command: readonly string[], stdin = ""): Promise<Outcome> {
  return tulle(["exec", "--node", "--", ...command], stdin);
}

/** Runs a command in the application container of a pod. */
export function inPod(namespace: string, pod: string, command: readonly string[]): Promise<Outcome> {
  return tulle(["exec", "-n", namespace, pod, "-c", "app", "--", ...command]);
}

export async function pods(): Promise<readonly PodLine[]> {
  const listed = await tulle(["get", "pods", "-A", "-o", "json"]);
  if (listed.code !== 0) throw new Error(listed.stderr.trim());
  return JSON.parse(listed.stdout) as readonly PodLine[];
}

export function ipv4(pod: PodLine): string {
  return pod.ips.find((ip) => !ip.includes(":")) ?? pod.ips[0] ?? "";
}

/** The count of `tulle_connections_total` of one direction and reason in a pod's proxy. */
export async function count(pod: PodLine, direction: "inbound" | "outbound", reason: string): Promise<number> {
  const scraped = await onNode(["curl", "-sS", "--max-time", "5", `http://${ipv4(pod)}:15020/metrics`]);
  for (const line of scraped.stdout.split("\n")) {
    if (!line.startsWith("tulle_connections_total{")) continue;
    if (!line.includes(`direction="${direction}"`) || !line.includes(`reason="${reason}"`)) continue;
    return Number(line.slice(line.lastIndexOf(" ") + 1));
  }
  return 0;
}

/** Every byte that crosses the node while `act` runs. */
export async function capture(act: () => Promise<void>): Promise<Buffer> {
  const script = `echo "pid $$" >&2; exec timeout -s INT 20 tcpdump -i any -U --immediate-mode -s 0 -w - tcp`;
  const dump = Bun.spawn([...selfCommand(), "exec", "--node", "--", "sh", "-c", script], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const packets = new Response(dump.stdout).arrayBuffer();
  const reader = dump.stderr.getReader();
  let said = "";
  while (!said.includes("listening on")) {
    const { value, done } = await reader.read();
    if (done) throw new Error(`tcpdump did not start: ${said.trim()}`);
    said += new TextDecoder().decode(value);
  }
  await act();
  await Bun.sleep(300); // what is still on its way to the capture
  // `timeout` passes the signal on.
  await onNode(["kill", "-INT", /^pid (\d+)$/m.exec(said)?.[1] ?? ""]);
  return Buffer.from(await packets);
}
