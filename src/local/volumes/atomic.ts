/**
 * Writes a projected volume as kubelet's atomic writer does: a time-stamped directory, and a `..data` link that is
 * renamed over, so that a reader sees either the old files or the new, never a mix.
 */
import { chmodSync, chownSync, mkdirSync, mkdtempSync, readlinkSync, renameSync, rmSync, symlinkSync } from "node:fs";
import { readdir, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

/** One file of a volume. */
export interface VolumeFile {
  /** Relative path without `..`. */
  readonly path: string;
  readonly content: string | Uint8Array;
  /** Permission bits. */
  readonly mode: number;
  /** Group when it is not root (fsGroup). */
  readonly gid?: number | undefined;
}

/** Makes `directory` hold exactly `files`; a second call replaces them atomically. */
export async function writeAtomically(directory: string, files: readonly VolumeFile[]): Promise<void> {
  mkdirSync(directory, { recursive: true, mode: 0o755 });
  const fresh = mkdtempSync(join(directory, "..v-"));
  const data = join(directory, "..data");
  const link = `${data}_tmp`;
  const old = tryReadlink(data);
  try {
    chmodSync(fresh, 0o755);
    for (const file of files) await write(join(fresh, file.path), file);
    symlinkSync(basename(fresh), link);
    renameSync(link, data);
  } catch (error) {
    rmSync(link, { force: true });
    rmSync(fresh, { recursive: true, force: true });
    throw error;
  }
  const wanted = new Set(files.map((file) => file.path.split("/")[0] as string));
  for (const top of wanted) {
    if (tryReadlink(join(directory, top)) === undefined) symlinkSync(join("..data", top), join(directory, top));
  }
  for (const entry of await readdir(directory)) {
    if (!entry.startsWith("..") && !wanted.has(entry)) rmSync(join(directory, entry), { force: true });
  }
  if (old !== undefined) await rm(join(directory, old), { recursive: true, force: true });
}

async function write(path: string, file: VolumeFile): Promise<void> {
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  await writeFile(path, file.content, { mode: file.mode });
  chmodSync(path, file.mode);
  if (file.gid !== undefined) chownSync(path, 0, file.gid);
}

function tryReadlink(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}
