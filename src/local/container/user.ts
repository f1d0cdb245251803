/** Which user and groups a container's process has. */
import { LocalError } from "../errors.ts";
import type { ContainerSpec, PodSpec } from "../kinds.ts";

export interface ProcessUser {
  readonly uid: number;
  readonly gid: number;
  readonly additionalGids: readonly number[];
}

/**
 * The container's setting before the pod's before the image's (root). The group of a user without runAsGroup is the one
 * that `passwd` (the text of /etc/passwd) names, else 0. Throws LocalError `run-as-non-root`.
 */
export function userOf(
  container: Pick<ContainerSpec, "name" | "securityContext">,
  pod: Pick<PodSpec, "securityContext">,
  passwd: string,
): ProcessUser {
  const own = container.securityContext;
  const shared = pod.securityContext;
  const uid = own?.runAsUser ?? shared?.runAsUser ?? 0;
  if ((own?.runAsNonRoot ?? shared?.runAsNonRoot) === true && uid === 0) {
    throw new LocalError("run-as-non-root", `container ${container.name} has runAsNonRoot and would run as root`, {
      hint: "set securityContext.runAsUser",
    });
  }
  const gid = own?.runAsGroup ?? shared?.runAsGroup ?? groupIn(passwd, uid);
  const more = [...(shared?.supplementalGroups ?? []), ...(shared?.fsGroup === undefined ? [] : [shared.fsGroup])];
  return { uid, gid, additionalGids: [...new Set(more)] };
}

function groupIn(passwd: string, uid: number): number {
  for (const line of passwd.split("\n")) {
    const fields = line.split(":");
    if (fields[2] === String(uid)) return Number(fields[3]) || 0;
  }
  return 0;
}
