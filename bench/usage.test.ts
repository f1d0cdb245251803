import { describe, expect, test } from "bun:test";
import { parseBusy, parseRss, parseStat, processorSeconds, residentMegabytes } from "./usage.ts";

describe("parseStat", () => {
  test("reads own and children's times, though the name holds spaces and parentheses", () => {
    const text = "42 (a) b (c)) S 1 42 42 0 -1 4194560 900 0 0 0 150 50 30 20 20 0 4 0 12345 1000000 500\n";
    expect(parseStat(text)).toEqual({ own: 2, children: 0.5 });
  });

  test("of a process that has ended is nothing", () => {
    expect(parseStat("")).toEqual({ own: 0, children: 0 });
  });
});

describe("parseBusy", () => {
  test("counts everything but idle and waiting for input and output, and no guest time twice", () => {
    expect(parseBusy("cpu  100 200 300 9000 8000 10 20 30 50 60\ncpu0 1 2 3\n")).toBe(6.6);
  });
});

describe("parseRss", () => {
  test("is in MiB", () => {
    expect(parseRss("Name:\tbun\nVmHWM:\t  99999 kB\nVmRSS:\t  31744 kB\nRssAnon:\t 1 kB\n")).toBe(31);
  });

  test("of a process that has ended is 0", () => {
    expect(parseRss("")).toBe(0);
  });
});

test("this process uses memory and has used processor time", () => {
  expect(residentMegabytes(process.pid)).toBeGreaterThan(1);
  expect(processorSeconds(process.pid)).toBeGreaterThan(0);
});
