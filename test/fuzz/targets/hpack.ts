/** Field blocks: whatever they hold, decoding ends within the limits, and what comes out can be encoded and decoded again. */
import { HpackDecoder, HpackEncoder, Http2Error } from "../../../src/tunnel/index.ts";
import { bytesOf, promise, same, type Target, unlessRefused } from "../target.ts";

const LIMITS = { listBytes: 500, fields: 20 };
/** Instead of a block's length: the next byte says, in units of 32 bytes, what our SETTINGS_HEADER_TABLE_SIZE becomes. */
const TABLE_SIZE = 0xff;

const hex = (text: string) => new Uint8Array(Buffer.from(text.replaceAll(" ", ""), "hex"));
/** As an input holds it: its length in front. */
const block = (text: string) => Uint8Array.of(hex(text).length, ...hex(text));

export const target: Target = {
  examples: [
    // RFC 7541 C.3, C.4 and C.6: three blocks each.
    Uint8Array.of(
      ...block("8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d"),
      ...block("8286 84be 5808 6e6f 2d63 6163 6865"),
      ...block("8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65"),
    ),
    Uint8Array.of(...block("8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff"), ...block("8286 84be 5886 a8eb 1064 9cbf")),
    Uint8Array.of(TABLE_SIZE, 8, ...block("3fe101 4882 6402 5885 aec3 771a 4b"), ...block("4883 640e ffc1 c0bf")),
    block("1008 7061 7373 776f 7264 0673 6563 7265 74"),
  ],
  tokens: [
    ...["20", "3fe11f", "3f810f", "80", "be", "bf", "ff", "ff80", "7f", "0f", "1f", "ffffff0f", "83f8"].map(hex),
    bytesOf(":path"),
  ],
  run(input) {
    const decoder = new HpackDecoder(LIMITS);
    const encoder = new HpackEncoder();
    const reader = new HpackDecoder({ listBytes: 1 << 20, fields: 1000 });
    for (let at = 0; at < input.length; ) {
      const length = input[at++] as number;
      if (length === TABLE_SIZE) {
        const bytes = (input[at++] ?? 0) * 32;
        decoder.setTableLimit(bytes);
        encoder.setTableLimit(bytes);
        reader.setTableLimit(Math.min(bytes, 4096));
        continue;
      }
      const end = Math.min(input.length, at + length);
      const start = at;
      at = end;
      const decoded = unlessRefused(
        () => decoder.decode(input, start, end),
        (error) => error instanceof Http2Error && error.scope === "connection" && error.code === "compression-error",
      );
      if (decoded === undefined) return;
      const { headers } = decoded;
      const size = headers.reduce((sum, [name, value]) => sum + name.length + value.length + 32, 0);
      promise(headers.length <= LIMITS.fields && size <= LIMITS.listBytes, "the list stays within its limits");
      same(reader.decode(encoder.encode(headers)), { headers, tooLarge: false }, "a list encoded and decoded again");
    }
  },
};
