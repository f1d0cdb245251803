/** What a proxy counts. */

/** Connections by `direction reason`, out of the text of `/metrics`. */
export function connectionCounts(metrics: string): Map<string, number> {
  const counts = new Map<string, number>();
  for (const [, labels = "", value] of metrics.matchAll(/^tulle_connections_total\{([^}]*)\} (\d+)$/gm)) {
    const [, direction, reason] = /direction="([^"]*)",reason="([^"]*)"/.exec(labels) ?? [];
    counts.set(`${direction} ${reason}`, Number(value));
  }
  return counts;
}
