/** The open calls of the pods: found by pod, so that a change of one pod costs no look at the others. */
import type { PodRecord } from "../mesh/index.ts";
import type { DiscoveryStream } from "./discovery/stream.ts";
import { Refusal } from "./errors.ts";

/** An open call of a pod. */
export interface OwnedStream {
  readonly pod: PodRecord;
  /** Undefined for a stream of reports. */
  readonly discovery: DiscoveryStream | undefined;
  readonly end: (why: Refusal) => void;
}

/** A proxy has two; the connection of one that was restarted may linger for a minute. */
export const MOST_STREAMS_OF_A_POD = 8;

export class OpenStreams {
  /** Pod uid → its streams, oldest first. */
  readonly #byPod = new Map<string, Set<OwnedStream>>();

  /** Room is made by ending the pod's oldest stream. */
  add(stream: OwnedStream): void {
    const { uid } = stream.pod;
    const streams = this.#byPod.get(uid) ?? new Set();
    this.#byPod.set(uid, streams.add(stream));
    const [oldest] = streams;
    if (streams.size > MOST_STREAMS_OF_A_POD) {
      oldest?.end(new Refusal("RESOURCE_EXHAUSTED", "too-many-streams", "the pod has opened too many newer streams"));
    }
  }

  delete(stream: OwnedStream): void {
    const { uid } = stream.pod;
    const streams = this.#byPod.get(uid);
    streams?.delete(stream);
    if (streams?.size === 0) this.#byPod.delete(uid);
  }

  /** A copy: ending one takes it out. */
  of(podUid: string): readonly OwnedStream[] {
    return [...(this.#byPod.get(podUid) ?? [])];
  }

  *[Symbol.iterator](): Generator<OwnedStream> {
    for (const streams of this.#byPod.values()) yield* streams;
  }
}
