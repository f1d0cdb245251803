/** The C library, for what Bun does not offer. */
import { dlopen, type FFIFunction } from "bun:ffi";
import { CaptureError } from "./errors.ts";

/** Its names with glibc and with musl. */
const NAMES = [
  "libc.so.6",
  process.arch === "arm64" ? "libc.musl-aarch64.so.1" : "libc.musl-x86_64.so.1",
  "libc.so",
] as const;

/** Its functions, ready to be called. Throws CaptureError `no-libc`. */
export function openLibc<const F extends Record<string, FFIFunction>>(functions: F) {
  const failures: string[] = [];
  for (const name of NAMES) {
    try {
      return dlopen(name, functions).symbols;
    } catch (error) {
      failures.push(error instanceof Error ? error.message : String(error));
    }
  }
  throw new CaptureError("no-libc", `the C library could not be loaded: ${failures.join("; ")}`, {
    hint: "Tulle runs on Linux with glibc or musl.",
  });
}
