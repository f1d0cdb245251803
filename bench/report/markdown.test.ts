import { describe, expect, test } from "bun:test";
import { renderMarkdown } from "./markdown.ts";
import { run, smallResults } from "./results.fixture.ts";

const lineOf = (text: string, start: string) => text.split("\n").find((line) => line.startsWith(start));

describe("renderMarkdown", () => {
  const text = renderMarkdown(smallResults(), "results.svg");

  test("judges each goal in one row", () => {
    expect(lineOf(text, "| requests/s, kept")).toBe(
      "| requests/s, kept connections | 2.00 | ≥ 1.4 | 1.50 (haproxy) | ≥ 1.3 | yes |",
    );
    expect(lineOf(text, "| CPU per request")).toBe(
      "| CPU per request, both proxies | 0.50 | ≤ 0.6 | 0.60 (haproxy) | ≤ 0.75 | yes |",
    );
  });

  test("says of a goal that it was not measured, and not that it was missed", () => {
    expect(lineOf(text, "| new connections/s")).toBe("| new connections/s | – |  | – |  | not measured |");
    expect(lineOf(text, "| RSS idle")).toEndWith("| not measured |");
  });

  test("a goal that is missed by one of its bounds is missed", () => {
    const runs = [
      ...smallResults().runs.filter(({ pair }) => pair !== "haproxy"),
      run("haproxy", 1, { "keepalive.rate": 55_000 }),
    ];
    const missed = renderMarkdown(smallResults({ runs }), "results.svg");
    expect(lineOf(missed, "| requests/s, kept")).toEndWith("| 1.09 (haproxy) | ≥ 1.3 | **no** |");
  });

  test("shows median, minimum, maximum and the number of runs", () => {
    expect(lineOf(text, "| nginx | 30000")).toBe("| nginx | 30000 (29999–30001) | – | – | 30.0 (30.0–30.0) | 3 |");
  });

  test("has no table for a test that was not run", () => {
    expect(text).not.toContain("A new connection for each request");
  });

  test("tells what a pair adds to direct", () => {
    const runs = [
      { ...run("direct", 1, { "fixed.p50": 40 }), test: "fixed" as const },
      { ...run("tulle", 1, { "fixed.p50": 160 }), test: "fixed" as const },
    ];
    const rated = renderMarkdown(smallResults({ runs }), "results.svg");
    expect(lineOf(rated, "| tulle | –")).toStartWith("| tulle | – | 160 (160–160) | 120 |");
  });

  test("names what was left out, and gathers what was lost for the same reason", () => {
    const loss = { pair: "nginx", test: "bulk" as const, why: "others used 1.2 cores" };
    const lossy = renderMarkdown(smallResults({ losses: [1, 3].map((round) => ({ ...loss, round })) }), "results.svg");
    expect(lossy).toContain("- ztunnel: cargo is missing");
    expect(lossy).toContain("- nginx, bulk: others used 1.2 cores (round 1, 3)");
  });

  test("tells of requests that failed", () => {
    const runs = [{ ...run("tulle", 2, { "keepalive.rate": 1 }), errors: 7 }];
    expect(renderMarkdown(smallResults({ runs }), "results.svg")).toContain("- tulle, keepalive, round 2: 7");
    expect(text).not.toContain("that failed");
  });
});
