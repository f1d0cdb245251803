/** Which kubeconfig files there are. Apart from their reading, which loads a YAML parser that a pod does not need. */
import { existsSync } from "node:fs";
import { delimiter, join, resolve } from "node:path";

/** The files to read, first one first; empty when there are none. A file named explicitly need not exist yet. */
export function kubeconfigFiles(
  explicit: string | undefined,
  env: Readonly<Record<string, string | undefined>>,
): readonly string[] {
  if (explicit !== undefined) return [resolve(explicit)];
  const listed = (env["KUBECONFIG"] ?? "").split(delimiter).filter((file) => file !== "");
  // kubectl passes over missing files of the list, but says so when none is there.
  if (listed.length > 0) {
    const there = listed.filter((file) => existsSync(file));
    return (there.length > 0 ? there : listed).map((file) => resolve(file));
  }
  const usual = env["HOME"] === undefined ? undefined : join(env["HOME"], ".kube", "config");
  return usual !== undefined && existsSync(usual) ? [usual] : [];
}
