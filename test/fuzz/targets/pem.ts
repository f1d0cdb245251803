/** PEM: refused by its own error, and blocks that were read are written and read again. */
import { IdentityError, pemDecode, pemEncode } from "../../../src/identity/index.ts";
import { bytesOf, same, type Target, unlessRefused } from "../target.ts";

const BLOCK = pemEncode("CERTIFICATE", new Uint8Array(80).fill(7));

export const target: Target = {
  examples: [BLOCK, `text\n${BLOCK}more\n${BLOCK}`, BLOCK.replaceAll("\n", "\r\n"), BLOCK.trimEnd()].map(bytesOf),
  longest: 1000,
  tokens: [
    "-----BEGIN CERTIFICATE-----\n",
    "-----END CERTIFICATE-----\n",
    "-----BEGIN X-----",
    "=",
    "\n",
    "\r",
    " ",
    "AAAA",
  ].map(bytesOf),
  run(input) {
    const text = Buffer.from(input).toString("latin1");
    const blocks = unlessRefused(
      () => pemDecode("CERTIFICATE", text),
      (error) => error instanceof IdentityError && error.code === "bad-pem",
    );
    if (blocks === undefined) return;
    same(
      pemDecode("CERTIFICATE", blocks.map((der) => pemEncode("CERTIFICATE", der)).join("")),
      blocks,
      "blocks written and read",
    );
  },
};
