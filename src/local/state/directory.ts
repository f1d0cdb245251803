/**
 * The state directory: one lock file that says who runs, and the control socket beside it. Nothing else of a
 * running play is on the machine's disk; namespaces, mounts and rules die with the runner's process tree.
 */
import {
  chmodSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { LocalError } from "../errors.ts";

/** Overrides where the state directory is. */
export const STATE_DIRECTORY_VARIABLE = "TULLE_STATE_DIR";
export const DEFAULT_STATE_DIRECTORY = "/run/tulle/play";

const LOCK_FILE = "runner.json";
/** Format of the lock file: raised when its meaning changes. */
const LOCK_FORMAT = 1;

/** Who holds the state directory. */
export interface RunnerRecord {
  readonly format: number;
  /** Version of the binary that wrote it. */
  readonly version: string;
  /** The supervisor, in the machine's process namespace. */
  readonly pid: number;
  /** Field 22 of /proc/PID/stat (clock ticks since boot): tells a process from a later one of the same number. */
  readonly startTime: string;
  /** Process 1 of the node's process namespace, in the machine's numbering; 0 until it runs. */
  readonly nodePid: number;
}

export interface StatePaths {
  readonly directory: string;
  readonly lock: string;
  readonly socket: string;
  /** Empty mount point that the inner runner uses in its own mount namespace. */
  readonly mountPoint: string;
}

/** What was found before the lock was taken. */
export type LeftOver = { readonly kind: "dead-runner" | "unreadable"; readonly version: string | undefined };

/** Links are followed once and here: a path through one would lead elsewhere inside of a container's root. */
export function statePaths(env: Readonly<Record<string, string | undefined>>): StatePaths {
  const chosen = env[STATE_DIRECTORY_VARIABLE];
  const directory = withoutLinks(resolve(chosen === undefined || chosen === "" ? DEFAULT_STATE_DIRECTORY : chosen));
  return {
    directory,
    lock: join(directory, LOCK_FILE),
    socket: join(directory, "control.sock"),
    mountPoint: join(directory, "node"),
  };
}

/** The path with every link resolved, as far as it exists. */
function withoutLinks(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    const parent = dirname(path);
    return parent === path ? path : join(withoutLinks(parent), basename(path));
  }
}

/** The start time of a live process (field 22 of /proc/PID/stat), or undefined when there is none. */
export function processStartTime(pid: number): string | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  } catch {
    return undefined;
  }
  // The command in parentheses may hold blanks and parentheses: count fields after the last one.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return fields[0] === "Z" ? undefined : fields[19];
}

/** The record in the lock file; undefined when there is none, `unreadable` when it is not ours to understand. */
export function readRecord(paths: StatePaths): RunnerRecord | "unreadable" | undefined {
  let text: string;
  try {
    text = readFileSync(paths.lock, "utf8");
  } catch (error) {
    if (isCode(error, "ENOENT") || isCode(error, "ENOTDIR")) return undefined;
    throw stateError(paths, error);
  }
  try {
    const value = JSON.parse(text) as Partial<RunnerRecord>;
    if (typeof value.version !== "string" || typeof value.pid !== "number" || typeof value.startTime !== "string") {
      return "unreadable";
    }
    return {
      format: typeof value.format === "number" ? value.format : 0,
      version: value.version,
      pid: value.pid,
      startTime: value.startTime,
      nodePid: typeof value.nodePid === "number" ? value.nodePid : 0,
    };
  } catch {
    return "unreadable";
  }
}

/** The record of a runner that is alive; undefined when none is. */
export function liveRunner(paths: StatePaths): RunnerRecord | undefined {
  const record = readRecord(paths);
  if (record === undefined || record === "unreadable") return undefined;
  return processStartTime(record.pid) === record.startTime ? record : undefined;
}

/**
 * Takes the state directory for this process; disposing gives it back and removes what it holds.
 * Throws LocalError `already-running`, `state-directory` (unwritable, disk full) or `state-directory-unsafe`.
 */
export function lockState(paths: StatePaths, version: string): { lock: StateLock; leftOver: LeftOver | undefined } {
  try {
    const firstMade = mkdirSync(paths.directory, { recursive: true, mode: 0o700 });
    const info = lstatSync(paths.directory);
    if (!info.isDirectory() || info.uid !== (process.getuid?.() ?? 0)) {
      throw new LocalError("state-directory-unsafe", `${paths.directory} is not a directory of this user`, {
        hint: `remove it, or set ${STATE_DIRECTORY_VARIABLE} to another directory`,
      });
    }
    if (firstMade === undefined) checkExisting(paths, info.mode);
    else chmodSync(paths.directory, 0o700);
    const startTime = processStartTime(process.pid) ?? "";
    const record: RunnerRecord = { format: LOCK_FORMAT, version, pid: process.pid, startTime, nodePid: 0 };
    const draft = join(paths.directory, `.${LOCK_FILE}.${process.pid}`);
    let leftOver: LeftOver | undefined;
    try {
      writeFileSync(draft, JSON.stringify(record), { mode: 0o600, flush: true });
      // A hard link fails when the lock exists, so that of two starters exactly one gets it.
      for (let attempt = 0; ; attempt++) {
        try {
          linkSync(draft, paths.lock);
          break;
        } catch (error) {
          if (!isCode(error, "EEXIST") || attempt > 3) throw error;
          const found = clearDead(paths, version);
          leftOver ??= found;
        }
      }
    } finally {
      rmSync(draft, { force: true });
    }
    rmSync(paths.socket, { force: true });
    mkdirSync(paths.mountPoint, { recursive: true, mode: 0o700 });
    return { lock: new StateLock(paths, record, firstMade), leftOver };
  } catch (error) {
    throw error instanceof LocalError ? error : stateError(paths, error);
  }
}

/** A directory that was there already is used only if nobody else uses it, and it stays. */
function checkExisting(paths: StatePaths, mode: number): void {
  const ours = new RegExp(`^(\\.?${LOCK_FILE.replace(".", "\\.")}.*|control\\.sock|node)$`);
  const strange = readdirSync(paths.directory).find((name) => !ours.test(name));
  const why =
    strange !== undefined
      ? `holds ${strange}, which is not Tulle's`
      : (mode & 0o022) !== 0
        ? "can be written by others"
        : undefined;
  if (why === undefined) return;
  throw new LocalError("state-directory-unsafe", `${paths.directory} ${why}`, {
    hint: `set ${STATE_DIRECTORY_VARIABLE} to a directory of its own, which need not exist`,
  });
}

/** Removes what a dead runner left. Answers what it was, undefined when there was nothing. Throws when one lives. */
export function cleanLeftOver(paths: StatePaths, version: string): LeftOver | undefined {
  try {
    const found = clearDead(paths, version);
    if (found !== undefined) removeState(paths, undefined);
    return found;
  } catch (error) {
    throw error instanceof LocalError ? error : stateError(paths, error);
  }
}

/** The held state directory. */
export class StateLock implements Disposable {
  readonly paths: StatePaths;
  #record: RunnerRecord;
  readonly #firstMade: string | undefined;

  constructor(paths: StatePaths, record: RunnerRecord, firstMade: string | undefined) {
    this.paths = paths;
    this.#record = record;
    this.#firstMade = firstMade;
  }

  /** Tells other commands where the node's namespaces are. */
  setNodePid(nodePid: number): void {
    this.#record = { ...this.#record, nodePid };
    const draft = `${this.paths.lock}.new`;
    writeFileSync(draft, JSON.stringify(this.#record), { mode: 0o600 });
    renameSync(draft, this.paths.lock);
  }

  [Symbol.dispose](): void {
    removeState(this.paths, this.#firstMade);
  }
}

/**
 * Removes the files that this program makes, then, of the directories, what it made: from the deepest up to `top`, when
 * empty. Undefined: the directory was there before and stays, the default one apart.
 */
function removeState(paths: StatePaths, top: string | undefined): void {
  for (const file of [paths.socket, paths.lock, `${paths.lock}.new`]) rmSync(file, { force: true });
  const directories = [paths.mountPoint];
  const isDefault = paths.directory === DEFAULT_STATE_DIRECTORY;
  const upTo = top ?? (isDefault ? paths.directory : undefined);
  for (let at = paths.directory; upTo !== undefined; at = dirname(at)) {
    directories.push(at);
    if (at === upTo || at === dirname(at)) break;
  }
  if (isDefault) directories.push(dirname(DEFAULT_STATE_DIRECTORY));
  for (const directory of directories) {
    try {
      rmdir(directory);
    } catch {
      return;
    }
  }
}

function rmdir(directory: string): void {
  try {
    // `rmdir`, never a recursive removal: what this program did not make stays.
    rmdirSync(directory);
  } catch (error) {
    if (!isCode(error, "ENOENT")) throw error;
  }
}

function clearDead(paths: StatePaths, version: string): LeftOver | undefined {
  const record = readRecord(paths);
  if (record === undefined) return undefined;
  if (record !== "unreadable" && processStartTime(record.pid) === record.startTime) {
    const other = record.version === version ? "" : `, of version ${record.version} (this is ${version})`;
    throw new LocalError("already-running", `a play is running already: process ${record.pid}${other}`, {
      hint: "add to it with `tulle apply -f FILE`, or end it with `tulle stop`",
    });
  }
  const grave = `${paths.lock}.dead.${process.pid}`;
  try {
    renameSync(paths.lock, grave);
  } catch (error) {
    if (isCode(error, "ENOENT")) return undefined;
    throw error;
  }
  rmSync(grave, { force: true });
  return record === "unreadable"
    ? { kind: "unreadable", version: undefined }
    : { kind: "dead-runner", version: record.version };
}

function stateError(paths: StatePaths, error: unknown): LocalError {
  const full = isCode(error, "ENOSPC") || isCode(error, "EDQUOT");
  const why = full ? "the disk is full" : error instanceof Error ? error.message : String(error);
  return new LocalError("state-directory", `the state directory ${paths.directory} cannot be used: ${why}`, {
    hint: full
      ? `make room, or set ${STATE_DIRECTORY_VARIABLE} to a directory on another file system`
      : `make it writable, or set ${STATE_DIRECTORY_VARIABLE} to another directory`,
    cause: error,
  });
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && (error as NodeJS.ErrnoException).code === code;
}
