import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { deviationsTable, type Results, unexplained } from "./page.ts";
import { readCases } from "./results.ts";

const OUTPUT = `Generic tests for HTTP/2 server
  1. Starting HTTP/2
      1: Sends a client connection preface\r    ✔ 1: Sends a client connection preface

Hypertext Transfer Protocol Version 2 (HTTP/2)
  5. Streams and Multiplexing
    5.3. Stream Priority
      5.3.1. Stream Dependencies
          1: Sends HEADERS\r        using source address 127.0.0.1:1
        × 1: Sends HEADERS
          -> The endpoint MUST treat this as a stream error of type PROTOCOL_ERROR.
             Expected: Connection closed
               Actual: Timeout
          2: Sends PRIORITY\r        2: Sends PRIORITY

Failures: 

Hypertext Transfer Protocol Version 2 (HTTP/2)
        × 1: Sends HEADERS

Finished in 4.8107 seconds
3 tests, 1 passed, 1 skipped, 1 failed
`;

test("what h2spec prints is read into cases", () => {
  expect(readCases(OUTPUT)).toEqual([
    { id: "generic/1/1", title: "Sends a client connection preface", outcome: "passed" },
    { id: "http2/5.3.1/1", title: "Sends HEADERS", outcome: "failed" },
    { id: "http2/5.3.1/2", title: "Sends PRIORITY", outcome: "skipped" },
  ]);
  expect(() => readCases(OUTPUT.replace("3 tests", "4 tests"))).toThrow("broke off");
  expect(() => readCases(OUTPUT.slice(0, 200))).toThrow("broke off");
});

test("a case that is not as explained, and an explanation without a case, are named", () => {
  const results: Results = { echo: readCases(OUTPUT), tunnel: [], client: [] };
  const wrong = unexplained(results).filter((line) => line.startsWith("echo server"));
  expect(wrong).toEqual(["echo server: http2/5.3.1/2 (Sends PRIORITY) skipped, not failed"]);
  expect(unexplained(results)).toContain("tunnel port: http2/5.3.1/1 is explained, and h2spec has no such case");
});

test("the page explains what the table of deviations says", () => {
  expect(readFileSync(join(import.meta.dir, "../../docs/conformance.md"), "utf8")).toContain(deviationsTable());
});
