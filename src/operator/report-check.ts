/**
 * What of a report is believed. A proxy is as trustworthy as its pod: what it says is bounded, and words, names and times
 * are what they claim to be before anything else of the operator reads them.
 */
import { parseSpiffeId } from "../identity/index.ts";
import { isReason } from "../mesh/index.ts";
import { Direction, type ReportBatch } from "../wire/index.ts";
import { Refusal } from "./errors.ts";

/** A proxy of ours keeps 256. */
export const MOST_EDGES = 512;
/** The largest time of JavaScript's Date, milliseconds. */
const LAST_TIME = 8.64e15;
const LONGEST_VERSION = 64;

/**
 * The batch with what is not understood left out: a newer proxy may know more words than this operator. Throws Refusal
 * when the state itself, on which a rotation waits, cannot be meant.
 */
export function checkReport(batch: ReportBatch): ReportBatch {
  const { leaf } = batch;
  if (leaf !== undefined && !(isHex(leaf.serial, 40) && isHex(leaf.issuerKeyId, 64) && isTime(leaf.notAfterMillis))) {
    throw bad("its leaf is no certificate of this mesh");
  }
  if (!isTime(batch.clockMillis) || !isTime(batch.startedMillis)) throw bad("a time is out of range");
  const edges = batch.edges.slice(0, MOST_EDGES).filter(isEdge);
  return {
    ...batch,
    proxyVersion: /^[\x21-\x7e]*$/.test(batch.proxyVersion) ? batch.proxyVersion.slice(0, LONGEST_VERSION) : "",
    counters: countersOf(batch),
    edges,
    edgesDropped: batch.edgesDropped + batch.edges.length - edges.length,
  };
}

/** At most one counter for each reason and direction. */
function countersOf({ counters }: ReportBatch): ReportBatch["counters"] {
  const found = new Map<string, ReportBatch["counters"][number]>();
  for (const counter of counters) {
    if (isReason(counter.reason) && isDirection(counter.direction)) {
      found.set(`${counter.direction} ${counter.reason}`, counter);
    }
  }
  return [...found.values()];
}

function isEdge(edge: ReportBatch["edges"][number]): boolean {
  return (
    isDirection(edge.direction) &&
    isReason(edge.reason) &&
    /^[A-Za-z0-9./:_-]{1,320}$/.test(edge.destination) &&
    edge.port >= 1 &&
    edge.port <= 65_535 &&
    isTime(edge.lastSeenMillis) &&
    (edge.peer === "" || isSpiffeId(edge.peer))
  );
}

function isSpiffeId(text: string): boolean {
  try {
    parseSpiffeId(text);
    return true;
  } catch {
    return false;
  }
}

function isDirection(direction: Direction): boolean {
  return direction === Direction.DIRECTION_INBOUND || direction === Direction.DIRECTION_OUTBOUND;
}

function isTime(millis: number): boolean {
  return millis >= 0 && millis <= LAST_TIME;
}

function isHex(text: string, most: number): boolean {
  return text.length > 0 && text.length <= most && /^[0-9a-f]+$/.test(text);
}

function bad(why: string): Refusal {
  return new Refusal("INVALID_ARGUMENT", "bad-report", `the report cannot be meant: ${why}`);
}
