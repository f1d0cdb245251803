import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Http2Error } from "./errors.ts";
import { type DecodedHeaders, HpackDecoder } from "./hpack-decoder.ts";
import { encodeHeaders, HpackEncoder } from "./hpack-encoder.ts";
import { huffmanDecode, huffmanEncode, huffmanLength } from "./hpack-huffman.ts";
import { DynamicTable, fieldSize, type HeaderField, STATIC_TABLE } from "./hpack-table.ts";

const LIMITS = { listBytes: 65_536, fields: 256 };
const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replace(/\s/g, ""), "hex"));
const decodeWith = (decoder: HpackDecoder, text: string): DecodedHeaders => decoder.decode(hex(text));
const decode = (text: string): DecodedHeaders => decodeWith(new HpackDecoder(LIMITS), text);

/** The error's code; fails when nothing is thrown. */
function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof Http2Error) return error.code;
    throw error;
  }
  throw new Error("nothing was thrown");
}

describe("integers (RFC 7541 §5.1, C.1)", () => {
  test("C.1.1, C.1.3: reads a length that fits its prefix", () => {
    expect(decode(`00 01 61 0a ${"62".repeat(10)}`).headers).toEqual([["a", "b".repeat(10)]]);
  });
  test("C.1.2: reads 1337 from a five-bit prefix", () => {
    const decoder = new HpackDecoder(LIMITS);
    decodeWith(decoder, "3f 9a 0a 82"); // a table size update to 1337
    expect(decodeWith(decoder, "82").headers).toEqual([[":method", "GET"]]);
    decoder.setTableLimit(1336);
    expect(codeOf(() => decodeWith(decoder, "3f 9a 0a"))).toBe("compression-error");
  });
  test.each([
    ["never ends", "ff ff ff ff ff ff ff ff ff ff ff ff"],
    ["passes 2^28", "ff ff ff ff ff 0f"],
    ["is cut off", "ff 80"],
    ["is padded with zeros without end", `ff ${"80".repeat(40)} 00`],
  ])("refuses an integer that %s", (_why, text) => {
    expect(codeOf(() => decode(text))).toBe("compression-error");
  });
});

describe("single fields (RFC 7541 C.2)", () => {
  test("C.2.1: a literal with indexing enters the table", () => {
    const decoder = new HpackDecoder(LIMITS);
    const field: HeaderField = ["custom-key", "custom-header"];
    expect(decodeWith(decoder, "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572").headers).toEqual([
      field,
    ]);
    expect(decodeWith(decoder, "be").headers).toEqual([field]);
  });
  test("C.2.2: a literal without indexing does not", () => {
    const decoder = new HpackDecoder(LIMITS);
    expect(decodeWith(decoder, "040c 2f73 616d 706c 652f 7061 7468").headers).toEqual([[":path", "/sample/path"]]);
    expect(codeOf(() => decodeWith(decoder, "be"))).toBe("compression-error");
  });
  test("C.2.3: a literal never indexed does not", () => {
    const decoder = new HpackDecoder(LIMITS);
    expect(decodeWith(decoder, "1008 7061 7373 776f 7264 0673 6563 7265 74").headers).toEqual([["password", "secret"]]);
    expect(codeOf(() => decodeWith(decoder, "be"))).toBe("compression-error");
  });
  test("C.2.4: an indexed field", () => {
    expect(decode("82").headers).toEqual([[":method", "GET"]]);
  });
});

const REQUESTS: readonly (readonly HeaderField[])[] = [
  [
    [":method", "GET"],
    [":scheme", "http"],
    [":path", "/"],
    [":authority", "www.example.com"],
  ],
  [
    [":method", "GET"],
    [":scheme", "http"],
    [":path", "/"],
    [":authority", "www.example.com"],
    ["cache-control", "no-cache"],
  ],
  [
    [":method", "GET"],
    [":scheme", "https"],
    [":path", "/index.html"],
    [":authority", "www.example.com"],
    ["custom-key", "custom-value"],
  ],
];
const DATES = ["Mon, 21 Oct 2013 20:13:21 GMT", "Mon, 21 Oct 2013 20:13:22 GMT"];
const COOKIE = "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1";
const LOCATION = "https://www.example.com";
const RESPONSES: readonly (readonly HeaderField[])[] = [
  [
    [":status", "302"],
    ["cache-control", "private"],
    ["date", DATES[0] as string],
    ["location", LOCATION],
  ],
  [
    [":status", "307"],
    ["cache-control", "private"],
    ["date", DATES[0] as string],
    ["location", LOCATION],
  ],
  [
    [":status", "200"],
    ["cache-control", "private"],
    ["date", DATES[1] as string],
    ["location", LOCATION],
    ["content-encoding", "gzip"],
    ["set-cookie", COOKIE],
  ],
];
const SEQUENCES: readonly [
  name: string,
  table: number,
  blocks: readonly string[],
  lists: readonly (readonly HeaderField[])[],
][] = [
  [
    "C.3: requests without Huffman coding",
    4096,
    [
      "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
      "8286 84be 5808 6e6f 2d63 6163 6865",
      "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
    ],
    REQUESTS,
  ],
  [
    "C.4: requests with Huffman coding",
    4096,
    [
      "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
      "8286 84be 5886 a8eb 1064 9cbf",
      "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
    ],
    REQUESTS,
  ],
  [
    "C.5: responses without Huffman coding, with eviction",
    256,
    [
      "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
      "4803 3330 37c1 c0bf",
      "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31",
    ],
    RESPONSES,
  ],
  [
    "C.6: responses with Huffman coding, with eviction",
    256,
    [
      "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
      "4883 640e ffc1 c0bf",
      "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
    ],
    RESPONSES,
  ],
];

describe.each(SEQUENCES)("sequences (RFC 7541 %s)", (_name, table, blocks, lists) => {
  test("decodes each block in turn", () => {
    const decoder = new HpackDecoder(LIMITS);
    if (table !== 4096) {
      decoder.setTableLimit(table);
      decodeWith(decoder, "3f e1 01"); // the size update to 256 that the examples leave out
    }
    for (const [index, block] of blocks.entries())
      expect(decodeWith(decoder, block).headers).toEqual([...(lists[index] ?? [])]);
  });
});

test("C.4: encodes the requests to the very octets of the RFC", () => {
  const encoder = new HpackEncoder();
  for (const [index, block] of (SEQUENCES[1]?.[2] ?? []).entries()) {
    expect(Buffer.from(encoder.encode(REQUESTS[index] ?? [])).toString("hex")).toBe(block.replace(/\s/g, ""));
  }
});

describe("decoder rules", () => {
  test.each([
    ["index 0 (§6.1)", "80"],
    ["an index beyond both tables (§2.3.3)", "be"],
    ["a name index beyond both tables (§2.3.3)", "7e 01 61"],
    ["a size update after a field (§4.2)", "82 20"],
    ["a size update above the limit (§6.3)", "3f e2 1f"],
    ["a string longer than the block (§5.2)", "00 05 61"],
    ["a literal without a value (§6.2)", "00 01 61"],
    ["a literal without a name (§6.2)", "40"],
    ["padding of 8 bits (§5.2)", "00 01 61 82 1f ff"],
    ["padding that is not ones (§5.2)", "00 01 61 81 18"],
    ["a coded EOS (§5.2)", "00 01 61 84 ff ff ff ff"],
  ])("refuses %s as a compression error", (_rule, text) => {
    expect(codeOf(() => decode(text))).toBe("compression-error");
  });

  test("wants a size update once the table limit was lowered below its size (§4.2)", () => {
    const decoder = new HpackDecoder(LIMITS);
    decoder.setTableLimit(0);
    expect(codeOf(() => decodeWith(decoder, "82"))).toBe("compression-error");
    const other = new HpackDecoder(LIMITS);
    other.setTableLimit(0);
    expect(decodeWith(other, "20 82").headers).toEqual([[":method", "GET"]]);
    expect(decodeWith(other, "82").headers).toEqual([[":method", "GET"]]);
  });

  test("keeps the table in step when a list passes the size limit, and drops the rest of it (CVE-2026-47774)", () => {
    const decoder = new HpackDecoder({ listBytes: 100, fields: 256 });
    const bomb = new HpackEncoder();
    const big: HeaderField = ["x-big", "v".repeat(40)];
    const small: HeaderField = ["x-small", "1"];
    const first = decoder.decode(bomb.encode([big, big, big, small]));
    expect(first).toEqual({ headers: [big], tooLarge: true });
    expect(decoder.decode(bomb.encode([small]))).toEqual({ headers: [small], tooLarge: false });
  });

  test("limits the number of fields", () => {
    const decoder = new HpackDecoder({ listBytes: 65_536, fields: 3 });
    expect(decodeWith(decoder, "82 82 82").tooLarge).toBe(false);
    expect(decodeWith(decoder, "82 82 82 82").tooLarge).toBe(true);
  });

  test("throws nothing but Http2Error and always ends, on any bytes", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 4 }), (blocks) => {
        const decoder = new HpackDecoder({ listBytes: 500, fields: 20 });
        try {
          for (const block of blocks) {
            const { headers } = decoder.decode(block);
            expect(headers.length).toBeLessThanOrEqual(20);
          }
        } catch (error) {
          if (!(error instanceof Http2Error)) throw error;
          expect(error.code).toBe("compression-error");
        }
      }),
      { numRuns: 2000 },
    );
  });
});

const octets = fc.string({
  unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)),
  maxLength: 60,
});
const name = fc.oneof(
  fc.constantFrom(...STATIC_TABLE.slice(1).map((entry) => entry[0])),
  fc.constantFrom("x-a", "x-b", "baggage", "grpc-status"),
  octets,
);
const field = fc.tuple(name, fc.oneof(fc.constantFrom("200", "GET", "1", ""), octets));

describe("encoder", () => {
  test("what it encodes, the decoder reads, whatever SETTINGS_HEADER_TABLE_SIZE does in between", () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.record({
            list: fc.array(field, { maxLength: 12 }),
            limits: fc.array(fc.constantFrom(0, 60, 200, 4096, 65_536), { maxLength: 3 }),
          }),
          { maxLength: 12 },
        ),
        (steps) => {
          const encoder = new HpackEncoder();
          const decoder = new HpackDecoder(LIMITS);
          for (const { list, limits } of steps) {
            for (const limit of limits) {
              encoder.setTableLimit(limit);
              decoder.setTableLimit(limit);
            }
            expect(decoder.decode(encoder.encode(list))).toEqual({ headers: list, tooLarge: false });
          }
        },
      ),
    );
  });

  test.each(["authorization", "proxy-authorization", "cookie", "set-cookie"])(
    "never indexes %s (§7.1.3)",
    (sensitive) => {
      const encoder = new HpackEncoder();
      const first = encoder.encode([[sensitive, "Bearer secret"]]).slice();
      expect((first[0] as number) & 0xf0).toBe(0x10);
      expect(encoder.encode([[sensitive, "Bearer secret"]])).toEqual(first);
    },
  );

  test("announces the smallest and the last size when the limit went down and up (§4.2)", () => {
    const encoder = new HpackEncoder();
    encoder.setTableLimit(0);
    encoder.setTableLimit(1337);
    expect(Buffer.from(encoder.encode([])).toString("hex")).toBe("203f9a0a");
    expect(encoder.encode([]).length).toBe(0);
  });

  test("refuses a character above 255 and stays in step", () => {
    const encoder = new HpackEncoder();
    const decoder = new HpackDecoder(LIMITS);
    expect(
      codeOf(() =>
        encoder.encode([
          ["x-a", "1"],
          ["x-b", "€"],
        ]),
      ),
    ).toBe("bad-header");
    expect(decoder.decode(encoder.encode([["x-a", "1"]])).headers).toEqual([["x-a", "1"]]);
    expect(decoder.decode(encodeHeaders([["x-c", "ä"]])).headers).toEqual([["x-c", "ä"]]);
  });
});

test("Huffman: decodes what it encodes, in exactly the length it announces (§5.2)", () => {
  fc.assert(
    fc.property(octets, (text) => {
      const bytes = new Uint8Array(huffmanLength(text));
      expect(huffmanEncode(text, bytes, 0)).toBe(bytes.length);
      const out = new Uint8Array(text.length + 8);
      const length = huffmanDecode(bytes, 0, bytes.length, out);
      expect(Buffer.from(out.subarray(0, length)).toString("latin1")).toBe(text);
    }),
  );
});

test("dynamic table: is a queue bounded by octets (§4)", () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(field, fc.integer({ min: 0, max: 300 })), { maxLength: 60 }), (steps) => {
      const table = new DynamicTable(200);
      let model: HeaderField[] = [];
      let capacity = 200;
      const size = () => model.reduce((sum, [key, value]) => sum + fieldSize(key, value), 0);
      for (const step of steps) {
        if (typeof step === "number") capacity = step;
        else model = [step, ...model];
        if (typeof step === "number") table.resize(step);
        else table.insert(step);
        while (size() > capacity) model.pop();
        expect(table.size).toBe(size());
        expect(Array.from({ length: table.count + 1 }, (_, index) => table.at(index + 1))).toEqual([
          ...model,
          undefined,
        ]);
      }
    }),
  );
});
