/** curl as the client: one large file down, up, or both ways at the same time by two connections. */
import { closeSync, openSync, readSync, statSync } from "node:fs";
import { join } from "node:path";
import type { NetworkNamespace } from "../../test/support/netns.ts";
import { APP_URL } from "../addresses.ts";
import { LARGE_FILE } from "../app.ts";

export const BULK_DIRECTIONS = ["down", "up", "both"] as const;
export type BulkDirection = (typeof BULK_DIRECTIONS)[number];

export interface BulkResult {
  readonly bytes: number;
  /** 10^6 bytes; of both ways the sum. */
  readonly megabytesPerSecond: number;
}

const LIMIT_SECONDS = 120;

/** `files` is the folder that the application serves: its large file also is what is sent. Throws when not all of it came over. */
export async function bulk(client: NetworkNamespace, direction: BulkDirection, files: string): Promise<BulkResult> {
  const path = join(files, LARGE_FILE);
  cache(path);
  const ways = direction === "both" ? (["down", "up"] as const) : [direction];
  const seconds = await Promise.all(ways.map((way) => transfer(client, way, path)));
  const bytes = statSync(path).size * ways.length;
  return { bytes, megabytesPerSecond: bytes / Math.max(...seconds) / 1e6 };
}

/** Answers the seconds that it took, by curl's own clock. */
async function transfer(client: NetworkNamespace, way: "down" | "up", path: string): Promise<number> {
  const told = `%{size_${way}load} %{time_total}`;
  const command = ["curl", "-sS", "--fail", "-m", String(LIMIT_SECONDS), "-o", "/dev/null", "-w", told];
  const target = way === "down" ? [`${APP_URL}${LARGE_FILE}`] : ["-H", "Expect:", "-T", path, `${APP_URL}sink`];
  const output = await client.run([...command, ...target], { timeout: (LIMIT_SECONDS + 10) * 1_000 });
  const [moved, seconds = 0] = output.split(" ").map(Number);
  const { size } = statSync(path);
  if (moved !== size) throw new Error(`${moved} of ${size} bytes were moved ${way}`);
  return seconds;
}

/** Reads the file once, so that no pair has to wait for the disk. */
function cache(path: string): void {
  const buffer = new Uint8Array(1 << 22);
  const file = openSync(path, "r");
  try {
    while (readSync(file, buffer) > 0);
  } finally {
    closeSync(file);
  }
}
