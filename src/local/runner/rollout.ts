/**
 * What a Deployment does next: a rolling update with one pod more (maxSurge 1) and none less (maxUnavailable 0), or with
 * strategy Recreate all old pods gone before the first new one.
 */

/** A pod of a Deployment as the rollout sees it; pods that are going away do not count. */
export interface RolloutPod {
  readonly name: string;
  /** Hash of the template it was made from. */
  readonly hash: string;
  readonly ready: boolean;
  readonly finished: boolean;
}

export interface RolloutStep {
  /** How many pods of the new template to make. */
  readonly create: number;
  /** Names of the pods to remove. */
  readonly remove: readonly string[];
}

/** The next step towards `replicas` pods of template `hash`; nothing to do once it answers 0 and none. */
export function rollout(pods: readonly RolloutPod[], replicas: number, hash: string): RolloutStep {
  const remove = pods.filter((pod) => pod.finished).map((pod) => pod.name);
  const live = pods.filter((pod) => !pod.finished);
  const fresh = live.filter((pod) => pod.hash === hash);
  const old = live.filter((pod) => pod.hash !== hash);
  // Too many of the new ones: those that are not ready go first, then the youngest.
  const surplus = [...fresh].sort((a, b) => Number(b.ready) - Number(a.ready)).slice(replicas);
  remove.push(...surplus.map((pod) => pod.name));
  const kept = fresh.length - surplus.length;
  // Old pods that serve nobody go at once, the others as new ones become ready.
  const idle = old.filter((pod) => !pod.ready);
  const serving = old.filter((pod) => pod.ready);
  const readyFresh = fresh.filter((pod) => pod.ready && !surplus.includes(pod)).length;
  const spare = Math.max(0, Math.min(serving.length, readyFresh + serving.length - replicas));
  remove.push(...idle.map((pod) => pod.name), ...serving.slice(0, spare).map((pod) => pod.name));
  const left = serving.length - spare;
  const room = (left > 0 ? replicas + 1 : replicas) - kept - left;
  return { create: Math.max(0, Math.min(replicas - kept, room)), remove };
}

/** The next step of strategy Recreate; `leaving`: pods of an older template are still on their way out. */
export function recreate(pods: readonly RolloutPod[], replicas: number, hash: string, leaving: boolean): RolloutStep {
  const old = pods.filter((pod) => pod.hash !== hash);
  const step = rollout(
    pods.filter((pod) => pod.hash === hash),
    replicas,
    hash,
  );
  return {
    create: leaving || old.length > 0 ? 0 : step.create,
    remove: [...old.map((pod) => pod.name), ...step.remove],
  };
}
