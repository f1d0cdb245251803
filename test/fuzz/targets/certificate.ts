/**
 * Certificates: refused by the errors of the room and nothing else, and what is accepted says what BoringSSL reads in it. The first
 * byte tells what the rest is: a certificate, or the signed part of a leaf or of an intermediate, which is then signed anew, since
 * else nothing would come as far as the rules behind the signature.
 */
import { X509Certificate } from "node:crypto";
import { makeCertificate } from "../../../src/identity/bent-certificate.fixture.ts";
import {
  type Certificate,
  type Der,
  IdentityError,
  parseCertificate,
  readSvid,
  TrustBundle,
  verifyChain,
} from "../../../src/identity/index.ts";
import { signed } from "../../../src/identity/profile.ts";
import { mutateDer } from "../der-tree.ts";
import { promise, same, type Target, unlessRefused } from "../target.ts";
import { TEST_KEY } from "../test-key.ts";

const KIND = { certificate: 0, leaf: 1, intermediate: 2 } as const;
const NOW = Date.UTC(2026, 0, 15, 12);
const LIFE = { key: TEST_KEY, notBefore: NOW - 60_000, notAfter: NOW + 86_400_000 };
const ID = "spiffe://cluster.local/ns/shop/sa/web";
const DOMAIN = "spiffe://cluster.local";

const root = makeCertificate({ ...LIFE, ca: true, uris: [DOMAIN] });
const bundle = TrustBundle.of(1, [root.der]);
const leaf = makeCertificate({ ...LIFE, uris: [ID] }, root);
const intermediate = makeCertificate({ ...LIFE, ca: true, pathLength: 0, uris: [DOMAIN] }, root);
const below = makeCertificate({ ...LIFE, uris: [ID], dns: ["web.shop.svc"] }, intermediate);

const input = (kind: number, der: Uint8Array) => Uint8Array.of(kind, ...der);
const tbsOf = (der: Der) => parseCertificate(der).tbs;
const refused = (prefixes: RegExp) => (error: unknown) => error instanceof IdentityError && prefixes.test(error.code);

export const target: Target = {
  examples: [
    input(KIND.certificate, leaf.der),
    input(KIND.certificate, intermediate.der),
    input(KIND.leaf, tbsOf(leaf.der)),
    input(KIND.leaf, tbsOf(below.der)),
    input(KIND.intermediate, tbsOf(intermediate.der)),
  ],
  longest: 1500,
  mutate: (bytes, dice) => input(bytes[0] ?? 0, mutateDer(bytes.subarray(1), dice)),
  run(bytes) {
    const rest = bytes.slice(1) as Der;
    const signedAnew = bytes[0] === KIND.leaf || bytes[0] === KIND.intermediate;
    const der = signedAnew ? signed(rest, TEST_KEY.sign(rest)) : rest;
    const certificate = unlessRefused(() => parseCertificate(der), refused(/^certificate-/));
    if (certificate === undefined) return;
    unlessRefused(() => readSvid(der), refused(/^(svid|certificate)-/));
    const other = judge(certificate);
    const chain = bytes[0] === KIND.intermediate ? [below.der, der] : [der];
    const verified = unlessRefused(
      () => verifyChain(chain, bundle, NOW),
      refused(/^(chain|svid)-|^(untrusted|expired|not-yet-valid)$/),
    );
    if (verified === undefined || other === undefined) return;
    promise(other.verify(new X509Certificate(root.der).publicKey), "what is accepted is signed by the root");
    same(other.ca, bytes[0] === KIND.intermediate, "whether it is a CA's");
    // Names of other kinds are counted and not read, so they may be anything.
    if (bytes[0] === KIND.intermediate || certificate.otherSans > 0) return;
    same(
      other.subjectAltName?.split(", ").filter((name) => name.startsWith("URI:")),
      [`URI:${verified.id}`],
      "its names",
    );
  },
};

/** The certificate as BoringSSL reads it, after comparing; undefined when it does not. */
function judge(certificate: Certificate): X509Certificate | undefined {
  let other: X509Certificate;
  try {
    other = new X509Certificate(certificate.der);
  } catch {
    return undefined;
  }
  same(other.serialNumber.toLowerCase().replace(/^(00)+(?=..)/, ""), certificate.serial, "the serial");
  same(Date.parse(other.validTo), certificate.notAfter, "the end of its life");
  same(Date.parse(other.validFrom), certificate.notBefore, "the begin of its life");
  return other;
}
