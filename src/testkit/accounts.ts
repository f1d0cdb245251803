/** The books of a proxy: every connection is opened once, closed once, and has one reason. */
import { REASONS, type Reason } from "../mesh/index.ts";
import { DIRECTIONS, type Direction, type Metrics } from "../proxy/metrics.ts";

export interface Account {
  readonly opened: number;
  readonly closed: number;
  /** Reasons counted. */
  readonly reasons: number;
}

export function accountOf(metrics: Metrics, direction: Direction): Account {
  const { opened, closed } = metrics[direction];
  let reasons = 0;
  for (const reason of Object.keys(REASONS) as Reason[]) reasons += metrics.of(direction, reason);
  return { opened, closed, reasons };
}

/** In both directions: nothing is open and everything has its reason. */
export function isBalanced(metrics: Metrics): boolean {
  return DIRECTIONS.every((direction) => {
    const { opened, closed, reasons } = accountOf(metrics, direction);
    return opened === closed && opened === reasons;
  });
}
