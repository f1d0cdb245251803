import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { frameMessage, MessageReader } from "./grpc-frame.ts";

const LIMIT = 1024 * 1024;

function read(reader: MessageReader, bytes: Uint8Array): Uint8Array[] {
  const messages = reader.push(bytes);
  if (typeof messages === "string") throw new Error(messages);
  return messages;
}

describe("messages", () => {
  test("come out as they went in, however the bytes are cut", () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 6 }),
        fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1 }),
        (messages, cuts) => {
          const wire = Buffer.concat(messages.map(frameMessage));
          const reader = new MessageReader(LIMIT);
          const found: Uint8Array[] = [];
          for (let at = 0, i = 0; at < wire.length; i++) {
            const end = at + (cuts[i % cuts.length] ?? 1);
            // The chunk may be reused after the call.
            const chunk = new Uint8Array(wire.subarray(at, end));
            found.push(...read(reader, chunk));
            chunk.fill(0xff);
            at = end;
          }
          expect(found.map((message) => [...message])).toEqual(messages.map((message) => [...message]));
          expect(reader.incomplete).toBe(false);
        },
      ),
    );
  });

  test("a part of one is incomplete", () => {
    const reader = new MessageReader(LIMIT);
    const framed = frameMessage(Buffer.from("hello"));
    for (const part of [framed.subarray(0, 3), framed.subarray(3, 9)]) {
      expect(read(reader, part)).toEqual([]);
      expect(reader.incomplete).toBe(true);
    }
    expect(read(reader, framed.subarray(9))).toHaveLength(1);
    expect(reader.incomplete).toBe(false);
  });

  test("a large one in small pieces costs its length, not its square", () => {
    const framed = frameMessage(new Uint8Array(LIMIT).fill(7));
    const reader = new MessageReader(LIMIT);
    let copied = 0;
    const set = Uint8Array.prototype.set;
    Uint8Array.prototype.set = function (source, offset) {
      copied += source.length;
      set.call(this, source, offset);
    };
    let messages: Uint8Array[] = [];
    try {
      for (let at = 0; at < framed.length; at += 1000) messages = read(reader, framed.subarray(at, at + 1000));
    } finally {
      Uint8Array.prototype.set = set;
    }
    expect(messages[0]?.length).toBe(LIMIT);
    expect(copied).toBeLessThan(4 * LIMIT);
  });
});

describe("refused", () => {
  test("a message that announces more than the limit, before any of it came", () => {
    expect(new MessageReader(10).push(Uint8Array.of(0, 0, 0, 0, 11))).toBe(
      "a message of 11 bytes exceeds the limit of 10",
    );
  });

  test("a compressed message", () => {
    expect(new MessageReader(10).push(Uint8Array.of(1, 0, 0, 0, 0))).toBe(
      "the message is compressed, which was not agreed on",
    );
  });
});
