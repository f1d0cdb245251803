/** coordination.k8s.io/v1 Lease, as an election uses it. */
import type { Millis } from "../mesh/index.ts";
import type { KubeObject } from "./object.ts";
import { type Resource, resource } from "./resource.ts";

export interface Lease extends KubeObject {
  readonly spec?: LeaseSpec;
}

export interface LeaseSpec {
  /** Absent or empty: nobody holds it. */
  readonly holderIdentity?: string;
  readonly leaseDurationSeconds?: number;
  /** MicroTime by the holder's clock: shown to people, never compared with our own. */
  readonly acquireTime?: string;
  readonly renewTime?: string;
  /** How often the holder changed. */
  readonly leaseTransitions?: number;
}

export const LEASES: Resource<Lease> = resource("coordination.k8s.io/v1", "Lease", "leases");

/** metav1.MicroTime: RFC 3339 with exactly six digits after the point. */
export function microTime(time: Millis): string {
  return new Date(time).toISOString().replace("Z", "000Z");
}

/** True when nobody renewed between the two: a change of labels by a third party is no renewal. */
export function sameTenure(one: LeaseSpec, other: LeaseSpec): boolean {
  return (
    one.holderIdentity === other.holderIdentity &&
    one.renewTime === other.renewTime &&
    one.acquireTime === other.acquireTime &&
    one.leaseTransitions === other.leaseTransitions
  );
}
