/** How this program starts itself: as the compiled binary, or as bun and the source's entry. */
import { relative } from "node:path";
import { fileURLToPath } from "node:url";

/** True when this is the compiled binary (its files live in Bun's embedded file system). */
export function isCompiled(): boolean {
  return import.meta.url.includes("/$bunfs/");
}

/** The words that start another `tulle`. */
export function selfCommand(): readonly string[] {
  return isCompiled() ? [process.execPath] : [process.execPath, fileURLToPath(new URL("../main.ts", import.meta.url))];
}

/** How the reader of a message would call this program from where they are: `tulle`, `dist/tulle`, or the whole path. */
export function invokedAs(): string {
  if (!isCompiled() || Bun.which("tulle") === process.execPath) return "tulle";
  const path = relative(process.cwd(), process.execPath);
  if (path.startsWith("..")) return process.execPath;
  return path.includes("/") ? path : `./${path}`;
}
