/** The test of memory: what proxies hold idle, and what each idle connection adds. */
import { join } from "node:path";
import type { OwnedProcess } from "../test/support/netns.ts";
import { APP_PORT, SERVER_IP } from "./addresses.ts";
import type { Proxies } from "./pairs/pair.ts";
import { type Measured, residentOf } from "./tests.ts";
import { Meter, processorSeconds } from "./usage.ts";
import type { Running } from "./workspace.ts";

const HELD_CONNECTIONS = [1_000, 5_000] as const;
const HOLD_LIMIT_MS = 90_000;
/** From a change until memory is read: a proxy that gives memory back when it is quiet has done so by then. */
export const SETTLE_MS = 5_000;
const IDLE_SECONDS = 5;

/** Memory of proxies that have just been started: idle, then with idle connections; and the processor time of these. */
export async function memory(running: Running, proxies: Proxies): Promise<Measured> {
  const pids = [proxies.outbound.pid, proxies.inbound.pid];
  const meter = new Meter(pids);
  const values: Record<string, number> = {};
  const read = async (state: string): Promise<void> => {
    await Bun.sleep(SETTLE_MS);
    const { outbound, inbound } = residentOf(proxies);
    values[`memory.${state}`] = Math.max(outbound, inbound);
    values[`memory.${state}-outbound`] = outbound;
    values[`memory.${state}-inbound`] = inbound;
  };
  await read("idle");
  const holders: OwnedProcess[] = [];
  let held = 0;
  let errors = 0;
  for (const count of HELD_CONNECTIONS) {
    const program = [process.execPath, join(import.meta.dir, "load/hold.ts"), SERVER_IP, String(APP_PORT)];
    const holder = running.stage.client.spawn([...program, String(count - held)]);
    holders.push(holder);
    const told = await holder.line("held", HOLD_LIMIT_MS);
    errors += Number(/failed (\d+)/.exec(told)?.[1]);
    held = count;
    await read(`${count}`);
  }
  const spent = () => pids.reduce((sum, pid) => sum + processorSeconds(pid), 0);
  const before = spent();
  await Bun.sleep(IDLE_SECONDS * 1_000);
  values["memory.idle-cpu"] = ((spent() - before) / IDLE_SECONDS) * 100;
  for (const holder of holders) await holder.stop();
  return { values, others: meter.stop().others, errors };
}
