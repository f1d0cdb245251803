/** Why a pod cannot be injected: one stable code a refusal. The input is at fault, so the exit code is 2. */
import { TulleError } from "../mesh/index.ts";

/** Every code and what to do about it. */
export const INJECT_CODES = {
  "host-network": "Take hostNetwork out, or label the pod tulle.dev/inject: disabled; it then stays outside the mesh.",
  "proxy-uid": "Run the container as another user: 1337 is the proxy's, whose traffic is not captured.",
  "reserved-port": "Use a port outside 15000-15021: the sidecar listens there.",
  "other-mesh": "Take the other mesh's sidecar out first: two meshes would capture each other's traffic.",
  "name-taken": "Rename it: names that begin with tulle- belong to the mesh.",
  "bad-annotation": "Mend the annotation, or leave it out.",
  "bad-label": "Write enabled or disabled, or leave the label out.",
  "shared-processes":
    "Give every container runAsUser (neither 0 nor 1337), allowPrivilegeEscalation: false and no privileges, or label the pod tulle.dev/inject: disabled.",
  "bad-record": "Start from the manifest that was injected: what uninject needs was changed by hand.",
  "not-linux": "Only Linux pods can be meshed; label this one tulle.dev/inject: disabled.",
  "bad-pod": "Mend the manifest: the pod would be refused by any cluster.",
  "malformed-yaml": "Mend the text, then run the command again.",
  "shared-node": "Write the aliased part out: injecting it in one place would change the others.",
  "odd-yaml": "Write this part in plain block or flow style.",
} as const;

export type InjectCode = keyof typeof INJECT_CODES;

export class InjectError extends TulleError {
  declare readonly code: InjectCode;

  constructor(code: InjectCode, message: string) {
    super(code, message, { exitCode: 2, hint: INJECT_CODES[code] });
  }
}
