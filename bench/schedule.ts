/** The order in which pairs take their turns: forwards in one round, backwards in the next (ABBA), so that drift hits all alike. */

/** `round` counts from 0. */
export function turns<T>(all: readonly T[], round: number): readonly T[] {
  return round % 2 === 0 ? all : all.toReversed();
}
