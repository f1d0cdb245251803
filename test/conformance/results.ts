/** What h2spec and h2specd print, read into cases. */

export type Outcome = "passed" | "skipped" | "failed";

export interface Case {
  /** `http2/6.9.1/2`: suite, section and number, as h2spec takes them as an argument. */
  readonly id: string;
  /** What the case does. */
  readonly title: string;
  readonly outcome: Outcome;
}

/** First words of the titles of h2spec's four suites. */
const SUITES = {
  "Generic tests for HTTP/2 server": "generic",
  "Hypertext Transfer Protocol Version 2": "http2",
  HPACK: "hpack",
  "Generic tests for HTTP/2 client": "client",
} as const;

/**
 * Reads the whole output of a run. Throws when its own summary counts other cases than were found: it broke off, or speaks
 * in a way that this does not know.
 */
export function readCases(output: string): readonly Case[] {
  const cases: Case[] = [];
  let suite: string | undefined;
  let section = "";
  for (const raw of output.split("\n")) {
    // A case is announced in a line that its result overwrites.
    const line = raw.slice(raw.lastIndexOf("\r") + 1);
    if (line.startsWith("Failures:")) break;
    const found = Object.entries(SUITES).find(([title]) => line.startsWith(title));
    if (found !== undefined) suite = found[1];
    const heading = /^ +([\d.]+)\. /.exec(line);
    if (heading !== null) section = heading[1] as string;
    const result = /^ +(?:([✔×]) )?(\d+): (.+)$/.exec(line);
    if (result === null) continue;
    const outcome = result[1] === "✔" ? "passed" : result[1] === "×" ? "failed" : "skipped";
    cases.push({ id: `${suite}/${section}/${result[2]}`, title: result[3] as string, outcome });
  }
  const counted = cases.filter((one) => one.outcome === "failed").length;
  const summary = /^(\d+) tests, \d+ passed, \d+ skipped, (\d+) failed$/m.exec(output);
  if (cases.length === 0 || Number(summary?.[1]) !== cases.length || Number(summary?.[2]) !== counted) {
    throw new Error(`h2spec broke off, its last lines:\n${output.slice(-500)}`);
  }
  return cases;
}
