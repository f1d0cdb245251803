import { describe, expect, test } from "bun:test";
import { smallResults } from "./results.fixture.ts";
import { renderSvg } from "./svg.ts";

describe("renderSvg", () => {
  const svg = renderSvg(smallResults());
  const bars = [...svg.matchAll(/<rect x="110" y="\d+" width="([\d.]+)"/g)].map(([, width]) => Number(width));

  test("draws a bar for each pair that was measured, by its median", () => {
    // Two panels of three pairs: direct has none.
    expect(bars).toHaveLength(6);
    const [tulle = 0, nginx = 0] = bars;
    expect(tulle / nginx).toBeCloseTo(2, 1);
  });

  test("says of what was not measured that there is nothing", () => {
    expect(svg.match(/>–<\/text>/g)).toHaveLength(4 * 3);
  });

  test("every element is closed", () => {
    const open: string[] = [];
    for (const [, closing, name = "", self] of svg.matchAll(/<(\/?)(\w+)[^>]*?(\/?)>/g)) {
      if (closing === "/") expect(open.pop()).toBe(name);
      else if (self !== "/") open.push(name);
    }
    expect(open).toEqual([]);
  });

  test("names cannot become markup", () => {
    const pairs = [{ name: "<b>&", about: "", version: "" }];
    expect(renderSvg(smallResults({ pairs }))).toContain(">&lt;b&gt;&amp;<");
  });
});
