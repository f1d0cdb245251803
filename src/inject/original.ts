/**
 * What `uninject` has to know beside the meshed pod itself, kept in one annotation as JSON: what was there, though empty,
 * where something was added (`was`), and, when a text was spliced, where (`cuts`). See docs/adr/0007.
 */
import { isObject, type JsonObject } from "./json.ts";

/**
 * A part of the text that was put in, `[start, end]` or `[start, end, what it replaced]`. Negative numbers count from the
 * start of the annotation's value, others from its end, so that the value's own length does not matter.
 */
export type Cut = readonly [start: number, end: number, replaced?: string];

export interface Original {
  /** Values before injection by JSON pointer: empty or null lists and maps, and annotations of the user's that we leave. */
  readonly was: JsonObject;
  readonly cuts: readonly Cut[];
}

export function encodeOriginal({ was, cuts }: Original): string {
  return JSON.stringify({
    ...(Object.keys(was).length === 0 ? {} : { was }),
    ...(cuts.length === 0 ? {} : { cuts }),
  });
}

/** Believes nothing: what is not well-formed counts as not there. */
export function decodeOriginal(text: unknown): Original {
  let value: unknown;
  try {
    value = typeof text === "string" ? JSON.parse(text) : undefined;
  } catch {
    value = undefined;
  }
  if (!isObject(value)) return { was: {}, cuts: [] };
  const { was, cuts } = value;
  return {
    was: isObject(was) ? was : {},
    cuts: Array.isArray(cuts) && cuts.every(isCut) ? cuts : [],
  };
}

function isCut(value: unknown): value is Cut {
  if (!Array.isArray(value)) return false;
  const [start, end, replaced] = value as unknown[];
  return (
    Number.isSafeInteger(start) && Number.isSafeInteger(end) && (replaced === undefined || typeof replaced === "string")
  );
}
