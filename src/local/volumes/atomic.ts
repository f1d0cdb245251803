/**
 * Writes a projected volume as kubelet's atomic writer does: a time-stamped directory, and a `..data` link that is
 * renamed over, so that a reader sees either the old files or the new, never a mix.
 */
import { chmodSync, chownSync, mkdirSync, mkdtempSync, readlinkSync, renameSync, rmSync, symlinkSync } from "node:fs";
import { readdir, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";

/** One file of a volume. */
export interface VolumeFile {
  /** Relative path without `..`. */
  readonly path: string;
  readonly content: string | Uint8Array;
  /** Permission bits. */
  readonly mode: number;
  /** Owner when it is not root. */
  readonly uid?: number | undefined;
  /** Group when it is not root (fsGroup). */
  readonly gid?: number | undefined;
}

/** Makes `directory` hold exactly `files`; a second call replaces them atomically. */
export async function writeAtomically(directory: string, files: readonly VolumeFile[]): Promise<void> {
  mkdirSync(directory, { recursive: true, mode: 0o755 });
  const fresh = mkdtempSync(join(directory, "..v-"));
  chmodSync(fresh, 0o755);
  for (const file of files) {
    const path = join(fresh, file.path);
    mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
    await writeFile(path, file.content, { mode: file.mode });
    chmodSync(path, file.mode);
    if (file.uid !== undefined || file.gid !== undefined) chownSync(path, file.uid ?? 0, file.gid ?? 0);
  }
  const data = join(directory, "..data");
  const old = tryReadlink(data);
  const name = fresh.slice(directory.length + 1);
  symlinkSync(name, `${data}_tmp`);
  renameSync(`${data}_tmp`, data);
  const wanted = new Set(files.map((file) => file.path.split("/")[0] as string));
  for (const top of wanted) {
    if (tryReadlink(join(directory, top)) === undefined) symlinkSync(join("..data", top), join(directory, top));
  }
  for (const entry of await readdir(directory)) {
    if (!entry.startsWith("..") && !wanted.has(entry)) rmSync(join(directory, entry), { force: true });
  }
  if (old !== undefined) await rm(join(directory, old), { recursive: true, force: true });
}

function tryReadlink(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}
