/**
 * Certificate requests: refused by the errors of the room and nothing else. The first byte tells whether the rest is a request
 * or only the part that its key signs, which is then signed anew.
 */

import { DerReader } from "../../../src/identity/der-reader.ts";
import { createCsr, type Der, IdentityError, parseSpiffeId, readCsr } from "../../../src/identity/index.ts";
import { EMPTY_NAME, signed } from "../../../src/identity/profile.ts";
import { mutateDer } from "../der-tree.ts";
import { promise, same, type Target, unlessRefused } from "../target.ts";
import { TEST_KEY } from "../test-key.ts";

const KIND = { request: 0, signedPart: 1 } as const;
const ID = parseSpiffeId("spiffe://cluster.local/ns/shop/sa/web");
const REQUEST = createCsr(TEST_KEY, ID);
const INFO = new DerReader(REQUEST).enter(0x30).whole();

export const target: Target = {
  examples: [Uint8Array.of(KIND.request, ...REQUEST), Uint8Array.of(KIND.signedPart, ...INFO)],
  longest: 1000,
  mutate: (bytes, dice) => Uint8Array.of(bytes[0] ?? 0, ...mutateDer(bytes.subarray(1), dice)),
  run(bytes) {
    const rest = bytes.slice(1) as Der;
    const der = bytes[0] === KIND.signedPart ? signed(rest, TEST_KEY.sign(rest)) : rest;
    const read = unlessRefused(
      () => readCsr(der, ID),
      (error) => error instanceof IdentityError && error.code.startsWith("csr-"),
    );
    if (read === undefined) return;
    same(new Uint8Array(read.spki), new Uint8Array(TEST_KEY.spki), "the key");
    // What is accepted names nobody, or the caller.
    const text = Buffer.from(der).toString("latin1");
    promise(Buffer.from(der).includes(EMPTY_NAME), "its subject is empty");
    const uris = text.match(/spiffe:\/\/[ -~]*/g) ?? [];
    for (const uri of uris) promise(uri.startsWith(ID), `it asks for ${uri}`);
  },
};
