/** Protobuf codecs with one way to fail: the generated ones throw what their reader throws. */
import type { BinaryReader, BinaryWriter } from "@bufbuild/protobuf/wire";
import { WireError } from "./errors.ts";

/** What ts-proto generates for a message. */
interface Generated<T> {
  encode(message: T, writer?: BinaryWriter): BinaryWriter;
  decode(input: BinaryReader | Uint8Array, length?: number): T;
}

export interface Codec<T> {
  encode(message: T): Uint8Array;
  /** Throws WireError `bad-message` or `message-too-large`, and nothing else, on hostile bytes. */
  decode(bytes: Uint8Array): T;
}

/** The default limit of gRPC for one message. */
const MAX_MESSAGE = 4 * 1024 * 1024;

export function codec<T>(name: string, generated: Generated<T>): Codec<T> {
  return {
    encode: (message) => generated.encode(message).finish(),
    decode(bytes) {
      if (bytes.length > MAX_MESSAGE) {
        throw new WireError("message-too-large", `${name} of ${bytes.length} bytes: at most ${MAX_MESSAGE}`);
      }
      try {
        return generated.decode(bytes);
      } catch (cause) {
        const why = cause instanceof Error ? cause.message : String(cause);
        throw new WireError("bad-message", `not a ${name}: ${why}`, { cause });
      }
    },
  };
}
