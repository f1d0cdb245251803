/** Strict DER: what is read can be written in one way only, so writing gives the same bytes; so do the values of each type. */
import { readTime, writeTime } from "../../../src/identity/asn1-time.ts";
import { TAG } from "../../../src/identity/der.ts";
import { DerReader } from "../../../src/identity/der-reader.ts";
import { element, namedBits, oid, unsignedInteger } from "../../../src/identity/der-writer.ts";
import { createCsr, IdentityError, parseSpiffeId } from "../../../src/identity/index.ts";
import { mutateDer } from "../der-tree.ts";
import { same, type Target, unlessRefused } from "../target.ts";
import { TEST_KEY } from "../test-key.ts";

const refused = (error: unknown) => error instanceof IdentityError && error.code === "bad-der";

export const target: Target = {
  examples: [
    createCsr(TEST_KEY, parseSpiffeId("spiffe://cluster.local/ns/shop/sa/web")),
    Buffer.from("300a0101ff020200800303040f00", "hex"),
    Buffer.from("301e170d3236303131353132303030305a180f32303530303131353132303030305a", "hex"),
    Buffer.from("060b2a864886f70d01090e8f7f", "hex"),
  ],
  longest: 600,
  mutate: mutateDer,
  run(input) {
    const written = unlessRefused(() => rewrite(new DerReader(input)), refused);
    if (written !== undefined) same(new Uint8Array(Buffer.concat(written)), new Uint8Array(input), "DER written again");
  },
};

/** Every element of the range, written anew. */
function rewrite(reader: DerReader): readonly Uint8Array[] {
  const written: Uint8Array[] = [];
  while (!reader.done) {
    const tag = reader.peek() as number;
    if ((tag & 0x20) !== 0) {
      written.push(element(tag, ...rewrite(reader.enter(tag))));
      continue;
    }
    const whole = reader.whole(tag);
    for (const again of values(tag, whole)) same(again, new Uint8Array(whole), "a value written again");
    written.push(element(tag, new DerReader(whole).content(tag)));
  }
  reader.finish();
  return written;
}

/** The element as the writer of its type makes it of its value; nothing when the value is refused. */
function values(tag: number, whole: Uint8Array): readonly Uint8Array[] {
  const read = <T>(parse: (reader: DerReader) => T, write: (value: T) => Uint8Array): readonly Uint8Array[] => {
    const value = unlessRefused(() => parse(new DerReader(whole)), refused);
    return value === undefined ? [] : [new Uint8Array(write(value))];
  };
  switch (tag) {
    case TAG.oid:
      return read((reader) => reader.oid(), oid);
    case TAG.integer:
      return read((reader) => {
        reader.smallInteger();
        return new DerReader(whole).integer();
      }, unsignedInteger);
    case TAG.bitString:
      return read((reader) => reader.namedBits(), namedBits);
    case TAG.utcTime:
    case TAG.generalizedTime:
      return read(readTime, writeTime);
    default:
      return [];
  }
}
