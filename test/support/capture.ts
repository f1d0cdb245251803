/** What crosses a node while something happens there, by tcpdump inside of it. */
import { eventually } from "./cluster.ts";

export interface CaptureNode {
  /** An address of its own, to which it sends the packet that ends a capture. */
  readonly address: string;
  /** Starts a command in its namespaces. */
  spawn(command: readonly string[]): Bun.Subprocess<"ignore", "pipe", "pipe">;
  /** Runs one to its end. */
  run(command: readonly string[]): Promise<unknown>;
}

/** All packets of `filter` while `act` runs, as bytes (Latin-1). */
export async function capture(node: CaptureNode, filter: string, act: () => Promise<unknown>): Promise<string> {
  const taken = `${filter} or (udp and dst host ${node.address} and dst port 9)`;
  const program = `echo "pid $$" >&2; exec timeout -s INT 110 tcpdump -i any -U --immediate-mode -s 0 -w - '${taken}'`;
  const dump = node.spawn(["sh", "-c", program]);
  let packets = "";
  let said = "";
  const reading = [
    follow(dump.stdout, (text) => {
      packets += text;
    }),
    follow(dump.stderr, (text) => {
      said += text;
    }),
  ];
  try {
    await eventually(async () => (said.includes("listening on") ? true : undefined), 10_000);
    await act();
    // A packet of our own ends it: what crossed the node before has been seen by then.
    const last = `last-packet-${crypto.randomUUID()}`;
    await node.run(["bash", "-c", `echo ${last} >/dev/udp/${node.address}/9`]);
    await eventually(async () => (packets.includes(last) ? true : undefined), 10_000);
  } finally {
    const pid = /^pid (\d+)$/m.exec(said)?.[1];
    if (pid !== undefined) await node.run(["kill", "-INT", pid]);
    await Promise.all([dump.exited, ...reading]);
  }
  return packets;
}

async function follow(stream: ReadableStream<Uint8Array>, take: (text: string) => void): Promise<void> {
  for await (const chunk of stream) take(Buffer.from(chunk).toString("latin1"));
}
