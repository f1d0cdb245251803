/** events.k8s.io/v1 Event: what people read in `kubectl describe`. */
import type { KubeObject, ObjectReference } from "./object.ts";
import { type Resource, resource } from "./resource.ts";

export interface EventObject extends KubeObject {
  /** MicroTime of the first occurrence. */
  readonly eventTime: string;
  readonly type: "Normal" | "Warning";
  /** Why, as one CamelCase word of at most 128 characters. */
  readonly reason: string;
  /** What was done or failed, as one CamelCase word of at most 128 characters. */
  readonly action: string;
  /** At most 1024 bytes. */
  readonly note: string;
  readonly regarding: ObjectReference;
  readonly related?: ObjectReference;
  /** `tulle.dev/operator`. */
  readonly reportingController: string;
  readonly reportingInstance: string;
  /** Present from the second occurrence on; count is at least 2. */
  readonly series?: { readonly count: number; readonly lastObservedTime: string };
}

export const EVENTS: Resource<EventObject> = resource("events.k8s.io/v1", "Event", "events");

/** What the caller says happened. */
export interface Happening {
  readonly type: EventObject["type"];
  readonly reason: string;
  readonly action: string;
  readonly note: string;
  readonly regarding: ObjectReference;
  readonly related?: ObjectReference;
}

const LONGEST_NOTE = 1024;

/** Cut to what the API server accepts, in bytes of UTF-8, never in the middle of a character. */
export function cutNote(note: string): string {
  if (Buffer.byteLength(note) <= LONGEST_NOTE) return note;
  let cut = Buffer.from(note)
    .subarray(0, LONGEST_NOTE - 3)
    .toString();
  while (cut.endsWith("\ufffd")) cut = cut.slice(0, -1);
  return `${cut}…`;
}
