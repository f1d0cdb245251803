import { expect, test } from "bun:test";
import fc from "fast-check";
import { isKubeError, KubeError } from "./errors.ts";
import { parseWatchEvent } from "./watch-event.ts";

test("reads changes, bookmarks and errors, and keeps fields it does not know", () => {
  const pod = { metadata: { name: "a", resourceVersion: "7" }, spec: { future: [1] } };
  expect(parseWatchEvent(JSON.stringify({ type: "ADDED", object: pod }))).toEqual({ type: "ADDED", object: pod });
  const mark = { type: "BOOKMARK", object: { kind: "Pod", metadata: { resourceVersion: "9" } } };
  expect(parseWatchEvent(JSON.stringify(mark))).toMatchObject({ type: "BOOKMARK" });
  expect(parseWatchEvent('{"type":"ERROR","object":{"code":410}}')).toMatchObject({ type: "ERROR" });
});

test("refuses everything else without showing it", () => {
  const lines = [
    "s3cret",
    '"s3cret"',
    "null",
    '{"type":"ADDED"}',
    '{"type":"ADDED","object":{"data":"s3cret"}}',
    '{"type":"BOOKMARK","object":{"metadata":{}}}',
    '{"type":"s3cret","object":{"metadata":{"name":"a"}}}',
    '{"type":"ADDED","object":{"metadata":{"name":"a"}',
  ];
  for (const line of lines) {
    let error: unknown;
    try {
      parseWatchEvent(line);
    } catch (caught) {
      error = caught;
    }
    expect(isKubeError(error, "bad-answer")).toBe(true);
    expect(Bun.inspect(error)).not.toContain("s3cret");
  }
});

test("throws nothing but a KubeError, whatever arrives", () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.json(),
        fc.object().map((value) => JSON.stringify(value)),
      ),
      (line) => {
        try {
          parseWatchEvent(line);
        } catch (error) {
          expect(error).toBeInstanceOf(KubeError);
        }
      },
    ),
  );
});
