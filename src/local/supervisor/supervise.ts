/**
 * The supervisor of a play, on the machine's side: takes the state directory, looks whether the machine is fit, starts the
 * inner runner and passes on what it says. Everything that was made is gone when this process is, however it ends.
 */
import { LocalError } from "../errors.ts";
import type { NodeConfig } from "../runner/config.ts";
import { linesOf, type PlayEvent, type PlayOrder } from "../runner/events.ts";
import { lockState, type StatePaths, statePaths } from "../state/directory.ts";
import { attachEgress, type EgressChoice, egressTool, machineHasDefaultRoute } from "./egress.ts";
import { preflight } from "./preflight.ts";
import { type InnerProcess, spawnInner } from "./spawn.ts";

export interface SuperviseOptions {
  readonly version: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The words that start the inner runner. */
  readonly innerCommand: readonly string[];
  readonly config: Omit<NodeConfig, "version" | "stateDirectory" | "egress">;
  readonly egress: EgressChoice;
  readonly tell: (event: PlayEvent) => void;
  /** Aborting asks for an orderly end; the reason `now` for an immediate one. */
  readonly signal: AbortSignal;
  readonly force: AbortSignal;
}

/** Runs a play to its end. Answers the exit code. Throws LocalError for what keeps it from starting. */
export async function supervise(options: SuperviseOptions): Promise<number> {
  const paths = statePaths(options.env);
  const { lock, leftOver } = lockState(paths, options.version);
  try {
    return await superviseLocked(options, paths, lock, leftOver);
  } finally {
    lock[Symbol.dispose]();
  }
}

async function superviseLocked(
  options: SuperviseOptions,
  paths: StatePaths,
  lock: ReturnType<typeof lockState>["lock"],
  leftOver: ReturnType<typeof lockState>["leftOver"],
): Promise<number> {
  if (leftOver !== undefined) {
    const whose = leftOver.version === undefined ? "an unknown version" : `version ${leftOver.version}`;
    options.tell({ type: "notice", text: `cleaned up what a play of ${whose} left when it was killed` });
  }
  await preflight(paths.mountPoint);
  const egress = await decideEgress(options);
  const inner = spawnInner(options.innerCommand, paths);
  let exitCode = 1;
  let failed: Extract<PlayEvent, { type: "failed" }> | undefined;
  let stopping = false;
  const order = (message: PlayOrder | NodeConfig) => {
    inner.stdin.write(`${JSON.stringify(message)}\n`);
    void inner.stdin.flush();
  };
  const stop = () => order({ type: "stop" });
  const kill = () => inner.kill("SIGKILL");
  options.signal.addEventListener("abort", stop, { once: true });
  options.force.addEventListener("abort", kill, { once: true });
  let attached: Disposable | undefined;
  const errors = tail(inner);
  try {
    order({ ...options.config, version: options.version, stateDirectory: paths.directory, egress });
    if (options.signal.aborted) stop();
    for await (const line of linesOf(inner.stdout)) {
      const event = JSON.parse(line) as PlayEvent;
      if (event.type === "node") {
        lock.setNodePid(event.nodePid);
        if (egress) {
          try {
            attached = await attachEgress(event.nodePid);
            order({ type: "egress", ok: true });
          } catch (error) {
            order({ type: "egress", ok: false, why: error instanceof Error ? error.message : String(error) });
          }
        }
        continue;
      }
      if (event.type === "failed") failed = event;
      else options.tell(event);
      if (event.type === "stopping") stopping = true;
    }
    const code = await inner.exited;
    if (failed !== undefined) {
      const hint = failed.hint === undefined ? {} : { hint: failed.hint };
      throw new LocalError(failed.code, failed.message, { ...hint, exitCode: failed.exitCode });
    }
    if (code === 0 || (stopping && options.force.aborted)) exitCode = 0;
    else {
      const said = (await errors).trim();
      throw new LocalError("runner-died", `the node's runner ended unexpectedly (${inner.signalCode ?? code})`, {
        hint: said === "" ? "everything it made is gone; start it again" : said,
      });
    }
  } finally {
    options.signal.removeEventListener("abort", stop);
    options.force.removeEventListener("abort", kill);
    inner.kill("SIGKILL");
    await inner.exited;
    attached?.[Symbol.dispose]();
  }
  return exitCode;
}

async function decideEgress(options: SuperviseOptions): Promise<boolean> {
  if (options.egress === "none" || !(await machineHasDefaultRoute())) return false;
  if (egressTool()) return true;
  options.tell({
    type: "notice",
    text: "pods cannot reach outside of this machine: slirp4netns (package slirp4netns) or /dev/net/tun is missing",
  });
  return false;
}

/** The end of what the inner runner printed on its standard error. */
async function tail(inner: InnerProcess): Promise<string> {
  let text = "";
  const decoder = new TextDecoder();
  for await (const chunk of inner.stderr) text = (text + decoder.decode(chunk, { stream: true })).slice(-8192);
  return text;
}
