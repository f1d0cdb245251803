/**
 * Runs containers with crun: one foreground `crun run` each, over an overlay of the machine's root file system whose
 * upper layer is a directory of the node's tmpfs. Nothing here restarts anything.
 */
import { closeSync, constants, openSync, readFileSync, watch } from "node:fs";
import { rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { quote, runScript, TOOL_PATH, tryTool } from "../node/tool.ts";
import type { ContainerLog } from "./log.ts";
import { type ContainerSettings, ociConfig } from "./oci.ts";

const CRUN_ROOT = "/run/crun";

/** The words that begin each crun call, also those that other commands make in the node's namespaces. */
export const CRUN = ["crun", "--cgroup-manager=disabled", `--root=${CRUN_ROOT}`] as const;

/** What the runtime writes into the fresh root file system before the container starts. */
export interface RootFiles {
  /** Absolute path → content; replaces what the machine has there. */
  readonly files: Readonly<Record<string, string>>;
  /** Directories of the machine that the container finds empty. */
  readonly emptied: readonly string[];
}

export interface ContainerExit {
  /** 128 + signal when a signal ended it. */
  readonly code: number;
  /** Why it could not be started; undefined when it ran. */
  readonly startError: string | undefined;
}

/** A container that was started, or is about to fail to start. */
export interface RunningContainer {
  /** Resolves once its process runs (true) or failed to start (false). */
  readonly started: Promise<boolean>;
  readonly exited: Promise<ContainerExit>;
  /** Sends a signal to its first process; nothing when it ended. */
  signal(name: "SIGTERM" | "SIGKILL"): void;
  /** Whether its first process handles the signal: the kernel drops the others (pid_namespaces(7)). */
  hearsTerm(): boolean;
}

/** Where a container's files are in the node: removed by `removeContainer`. */
export function rootOf(directory: string): string {
  return join(directory, "rootfs");
}

/**
 * Makes the root file system of one run of a container in `directory` (fresh: what an earlier run left is removed).
 * Throws LocalError `tool-failed`.
 */
export async function prepareRoot(directory: string, root: RootFiles): Promise<void> {
  const at = quote(directory);
  const script = [
    `if [ -d ${at} ]; then umount -n ${at}/rootfs 2>/dev/null || :; rm -rf ${at}; fi`,
    `mkdir -p ${at}/upper ${at}/work ${at}/rootfs`,
    `cd ${at}`,
    `mkfifo -m 0600 output`,
    `mount -n -t overlay overlay -o nodev,lowerdir=/,upperdir=upper,workdir=work rootfs`,
  ];
  for (const path of root.emptied) script.push(`rm -rf rootfs${quote(path)}`, `mkdir -p rootfs${quote(path)}`);
  if (root.emptied.includes("/run")) script.push("mkdir rootfs/run/lock", "chmod 1777 rootfs/run/lock");
  await runScript(script);
  for (const [path, content] of Object.entries(root.files)) {
    const target = join(directory, "rootfs", path);
    // Removed first: what the machine has there may be a link out of the root file system.
    await rm(target, { force: true });
    await writeFile(target, content, { mode: 0o644 });
  }
}

/** Removes the files of a container that has ended. */
export async function removeContainer(directory: string): Promise<void> {
  const at = quote(directory);
  await tryTool(["sh"], `umount -n ${at}/rootfs 2>/dev/null; rm -rf ${at}\n`);
}

/** Starts a container in a prepared directory; its output goes to `log`. `id` is unique in the node. */
export async function startContainer(
  id: string,
  directory: string,
  settings: ContainerSettings,
  log: ContainerLog,
): Promise<RunningContainer> {
  await writeFile(join(directory, "config.json"), JSON.stringify(ociConfig(settings)));
  // A named pipe and not Bun's own, which is a socket: `> /dev/stdout` must work in the container.
  const fifo = join(directory, "output");
  const reader = openSync(fifo, constants.O_RDONLY | constants.O_NONBLOCK);
  const writer = openSync(fifo, constants.O_WRONLY);
  const pidFile = join(directory, "pid");
  const errorFile = join(directory, "crun.log");
  const pidSeen = fileAppears(pidFile);
  let child: Bun.Subprocess;
  try {
    const own = ["--log", `file:${errorFile}`, "--log-format", "json"];
    child = Bun.spawn([...CRUN, ...own, "run", "--pid-file", pidFile, "--bundle", directory, id], {
      env: { PATH: TOOL_PATH },
      stdio: ["ignore", writer, writer],
    });
  } catch (error) {
    pidSeen.cancel();
    closeSync(reader);
    throw error;
  } finally {
    closeSync(writer);
  }
  const drained = drain(reader, log);
  let pid = 0;
  const started = Promise.race([pidSeen.seen, child.exited.then(() => false)]).then((seen) => {
    pidSeen.cancel();
    if (seen) pid = readPid(pidFile);
    return seen;
  });
  let over = false;
  const exited = child.exited.then(async (code): Promise<ContainerExit> => {
    over = true;
    await drained;
    log.close();
    return { code, startError: startErrorIn(errorFile) };
  });
  return {
    started,
    exited,
    signal: (name) => {
      if (!over && pid !== 0) kill(pid, name);
    },
    hearsTerm: () => pid !== 0 && catchesTerm(pid),
  };
}

/** The user of a process that joins a container is the container's own, and it gains no more than that. */
export function execFlags(
  user: { readonly uid: number; readonly gid: number },
  noNewPrivileges: boolean,
): readonly string[] {
  return ["--user", `${user.uid}:${user.gid}`, ...(noNewPrivileges ? ["--no-new-privs"] : [])];
}

let execs = 0;

/**
 * Runs a command in the container of `directory`; the output is cut at 10 KiB, as a probe's is. After `timeout` it is killed,
 * and what it may have started is not waited for.
 */
export async function execInContainer(
  id: string,
  directory: string,
  flags: readonly string[],
  command: readonly string[],
  timeout: number,
): Promise<{ readonly code: number; readonly output: string; readonly timedOut: boolean }> {
  const pidFile = join(directory, `exec-${++execs}`);
  const child = Bun.spawn([...CRUN, "exec", "--pid-file", pidFile, ...flags, id, ...command], {
    env: { PATH: TOOL_PATH },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const timeUp = Promise.withResolvers<undefined>();
  const timer = setTimeout(() => timeUp.resolve(undefined), timeout);
  try {
    const all = Promise.all([head(child.stdout), head(child.stderr), child.exited]);
    const ended = await Promise.race([all, timeUp.promise]);
    if (ended !== undefined) return { code: ended[2], output: `${ended[0]}${ended[1]}`.trim(), timedOut: false };
    // crun's end alone would leave the command in the container.
    const pid = readPid(pidFile);
    if (pid !== 0) kill(pid, "SIGKILL");
    child.kill("SIGKILL");
    return { code: 128 + 9, output: "", timedOut: true };
  } finally {
    clearTimeout(timer);
    await rm(pidFile, { force: true });
  }
}

function kill(pid: number, signal: "SIGTERM" | "SIGKILL"): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It ended in this moment.
  }
}

async function head(stream: ReadableStream<Uint8Array>): Promise<string> {
  let text = "";
  const decoder = new TextDecoder();
  for await (const chunk of stream) if (text.length < 10_240) text += decoder.decode(chunk, { stream: true });
  return text.slice(0, 10_240);
}

async function drain(reader: number, log: ContainerLog): Promise<void> {
  try {
    for await (const chunk of Bun.file(reader).stream()) log.append(chunk);
  } finally {
    closeSync(reader);
  }
}

function fileAppears(path: string): { readonly seen: Promise<boolean>; cancel(): void } {
  const name = path.slice(dirname(path).length + 1);
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const check = () => {
    if (readPid(path) > 0) resolve(true);
  };
  const watcher = watch(dirname(path), (_, changed) => {
    if (changed === name) check();
  });
  return { seen: promise, cancel: () => watcher.close() };
}

function readPid(path: string): number {
  try {
    return Number.parseInt(readFileSync(path, "utf8"), 10) || 0;
  } catch {
    return 0;
  }
}

/** The first error that crun logged; it logs none when the process ran. */
function startErrorIn(path: string): string | undefined {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
  for (const line of text.split("\n")) {
    try {
      const entry = JSON.parse(line) as { msg?: unknown; level?: unknown };
      if (entry.level === "error" && typeof entry.msg === "string") return entry.msg;
    } catch {
      // Not a line of the log.
    }
  }
  return undefined;
}

/** Bit 14 of SigCgt in /proc/PID/status is SIGTERM. */
function catchesTerm(pid: number): boolean {
  try {
    const mask = /^SigCgt:\s*([0-9a-f]+)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
    return mask !== undefined && ((BigInt(`0x${mask}`) >> 14n) & 1n) === 1n;
  } catch {
    return false;
  }
}
