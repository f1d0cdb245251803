import { describe, expect, test } from "bun:test";
import { connectionsFor, parseWrk } from "./wrk.ts";

const OUTPUT = `Running 2s test @ http://10.250.77.2:8080/
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.41ms  312.00us   9.20ms   88.00%
  79864 requests in 2.00s, 95.10MB read
Requests/sec:  39932.00
{"requests":79864,"micros":2000000,"p50":1410,"p90":1800,"p99":4040,"max":9200,"errors":3}
`;

describe("parseWrk", () => {
  test("reads the line of report.lua among wrk's own", () => {
    expect(parseWrk(OUTPUT)).toEqual({ requests: 79864, perSecond: 39932, p50: 1410, p99: 4040, errors: 3 });
  });

  test("throws what wrk said when there is no such line", () => {
    expect(() => parseWrk("unable to connect to 10.250.77.2:http-alt Connection refused\n")).toThrow(
      "unable to connect",
    );
  });

  test("throws when a figure is missing", () => {
    expect(() => parseWrk('{"requests":1,"micros":2}\n')).toThrow("something else");
  });

  test("throws when nothing was answered", () => {
    expect(() => parseWrk('{"requests":0,"micros":2000000,"p50":0,"p90":0,"p99":0,"max":0,"errors":64}\n')).toThrow(
      "no answer",
    );
  });
});

describe("connectionsFor", () => {
  test("scales by what was missing", () => {
    expect(connectionsFor(1_000, 100, 800)).toBe(125);
    expect(connectionsFor(1_000, 100, 1_250)).toBe(80);
  });

  test("at most doubles, and never goes to nothing", () => {
    expect(connectionsFor(1_000, 100, 10)).toBe(200);
    expect(connectionsFor(1, 1, 1_000)).toBe(1);
  });
});
