/** Minimum, median and maximum. */

export interface Spread {
  readonly min: number;
  readonly median: number;
  readonly max: number;
  /** How many values it is of. */
  readonly count: number;
}

/** Undefined for no values. Of an even number the median is the mean of the middle two. */
export function spread(values: readonly number[]): Spread | undefined {
  const sorted = values.toSorted((a, b) => a - b);
  const min = sorted[0];
  const max = sorted.at(-1);
  const upper = sorted[Math.floor(sorted.length / 2)];
  const lower = sorted[Math.ceil(sorted.length / 2) - 1];
  if (min === undefined || max === undefined || upper === undefined || lower === undefined) return undefined;
  return { min, median: (lower + upper) / 2, max, count: sorted.length };
}
