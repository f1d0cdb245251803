import { describe, expect, test } from "bun:test";
import { generateKeyPairSync, sign, X509Certificate } from "node:crypto";
import { status } from "@grpc/grpc-js";
import fc from "fast-check";
import {
  Authority,
  createCsr,
  IdentityError,
  KeyPair,
  parseSpiffeId,
  parseTrustDomain,
  pemDecode,
  pemEncode,
  type SpiffeId,
} from "../identity/index.ts";
import { FakeClock } from "../testkit/fake-clock.ts";
import { MemoryLogger } from "../testkit/memory-logger.ts";
import { podRecord } from "../testkit/mesh-records.ts";
import { SeededRandom } from "../testkit/seeded-random.ts";
import { Refusal } from "./errors.ts";
import { Issuance } from "./issuance.ts";

const HOUR = 3_600_000;
const POD = podRecord("web", "10.244.0.2");
const ID = parseSpiffeId("spiffe://cluster.local/ns/shop/sa/web");

function stage(id: SpiffeId = ID) {
  const clock = new FakeClock();
  const authority = Authority.create({
    trustDomain: parseTrustDomain("cluster.local"),
    clock,
    random: new SeededRandom(),
    intermediateLifetime: 48 * HOUR,
  });
  const logger = new MemoryLogger();
  const issuance = new Issuance(authority, logger);
  const ask = (csr: string, validityDuration = 0) =>
    issuance.issue({ id, pod: POD }, { csr, validityDuration, metadata: undefined });
  return { clock, authority, logger, ask };
}

function refusalOf(action: () => unknown): Refusal {
  try {
    action();
  } catch (error) {
    if (error instanceof Refusal) return error;
    throw error;
  }
  throw new Error("not refused");
}

function csr(id: SpiffeId = ID): Uint8Array {
  return createCsr(KeyPair.generate(), id);
}

function pem(der: Uint8Array): string {
  return pemEncode("CERTIFICATE REQUEST", der);
}

/** One byte changed, counted from the end when negative. */
function bent(der: Uint8Array, at: number): Uint8Array {
  const copy = der.slice();
  const index = at < 0 ? copy.length + at : at;
  copy[index] = (copy[index] ?? 0) ^ 0x01;
  return copy;
}

describe("a certificate", () => {
  test("comes as leaf, intermediate, and then every root in one element", () => {
    const { ask, authority } = stage();
    const { certChain } = ask(pem(csr()));
    expect(certChain).toHaveLength(3);
    const [leaf, intermediate] = certChain.map((one) => new X509Certificate(one)) as [X509Certificate, X509Certificate];
    expect(leaf.subjectAltName).toBe(`URI:${ID}`);
    expect(leaf.verify(intermediate.publicKey)).toBe(true);
    expect(certChain[2]).toBe(authority.bundle().pem());
    expect(intermediate.verify(new X509Certificate(certChain[2] as string).publicKey)).toBe(true);
  });

  test("is for the key of the request", () => {
    const { ask } = stage();
    const key = KeyPair.generate();
    const [leaf] = ask(pem(createCsr(key, ID))).certChain;
    const spki = new X509Certificate(leaf as string).publicKey.export({ type: "spki", format: "der" });
    expect(Buffer.compare(spki, key.spki)).toBe(0);
  });

  test("is told in one audit line, without a key", () => {
    const { ask, logger } = stage();
    const [leaf] = ask(pem(csr())).certChain;
    const [line] = logger.of("certificate issued");
    expect(line?.fields).toEqual({
      id: ID,
      namespace: "shop",
      pod: "web",
      podUid: "uid-web",
      serial: new X509Certificate(leaf as string).serialNumber.toLowerCase(),
      notAfter: "2026-01-16T12:00:00.000Z",
    });
  });

  test.each([
    ["no wish", 0, 24 * HOUR],
    ["an hour", 3600, HOUR],
    ["more than the mesh gives", 30 * 24 * 3600, 24 * HOUR],
    ["a negative time", -1, 24 * HOUR],
    ["the largest number", Number.MAX_SAFE_INTEGER, 24 * HOUR],
  ])("lives as wished, within the mesh's own limit: %s", (_what, wished, lifetime) => {
    const { ask, clock } = stage();
    const [leaf] = ask(pem(csr()), wished).certChain;
    expect(Date.parse(new X509Certificate(leaf as string).validTo) - clock.now()).toBe(lifetime);
  });

  test("takes no name from the request: a request without one gets the caller's", () => {
    const { ask } = stage();
    const [leaf] = ask(pem(craft({ attributes: [] }))).certChain;
    expect(new X509Certificate(leaf as string).subjectAltName).toBe(`URI:${ID}`);
  });
});

describe("a request that asks for more than a key is refused", () => {
  const URI = tlv(0x86, Buffer.from(ID));
  const san = (...names: Buffer[]) => extension("551d11", tlv(0x30, ...names));
  const cases: readonly [string, Partial<Craft>, string][] = [
    ["another version", { version: tlv(0x02, Buffer.of(1)) }, "csr-version"],
    [
      "a subject",
      { subject: tlv(0x30, tlv(0x31, tlv(0x30, oid("550403"), tlv(0x0c, Buffer.from("x"))))) },
      "csr-subject",
    ],
    ["a key of another curve", { curve: "P-384" }, "csr-key-type"],
    ["a key that is no point", { bend: (spki) => bent(spki, -1) }, "csr-key-point"],
    ["another signature algorithm", { algorithm: tlv(0x30, oid("2a8648ce3d040303")) }, "csr-signature-algorithm"],
    ["a signature by another key", { foreignSignature: true }, "csr-signature"],
    [
      "an attribute beside the extensions",
      { attributes: [tlv(0x30, oid("2a864886f70d010907"), tlv(0x31))] },
      "csr-attribute",
    ],
    ["another extension", { attributes: [asking(extension("551d12", tlv(0x30)))] }, "csr-extension"],
    [
      "to be a CA",
      { attributes: [asking(extension("551d13", tlv(0x30, Buffer.from("0101ff", "hex"))))] },
      "csr-extension",
    ],
    ["one extension twice", { attributes: [asking(san(URI), san(URI))] }, "csr-extension-repeated"],
    [
      "to sign certificates",
      { attributes: [asking(extension("551d0f", Buffer.from("03020204", "hex")))] },
      "csr-key-usage",
    ],
    [
      "to be a server only",
      { attributes: [asking(extension("551d25", tlv(0x30, oid("2b06010505070301"))))] },
      "csr-extended-key-usage",
    ],
    ["a DNS name", { attributes: [asking(san(URI, tlv(0x82, Buffer.from("tulle.dev"))))] }, "csr-san-kind"],
    ["two URIs", { attributes: [asking(san(URI, URI))] }, "csr-san-count"],
  ];
  test.each(cases)("%s", (_what, parts, reason) => {
    const { ask } = stage();
    const refused = refusalOf(() => ask(pem(craft(parts))));
    expect([refused.code, refused.reason]).toEqual([status.INVALID_ARGUMENT, reason]);
  });
});

describe("a certificate is refused", () => {
  const OTHER = parseSpiffeId("spiffe://cluster.local/ns/shop/sa/db");
  const cases: readonly [string, () => string, number, string][] = [
    ["for another's SPIFFE ID", () => pem(csr(OTHER)), status.PERMISSION_DENIED, "csr-san-mismatch"],
    ["for two requests", () => pem(csr()) + pem(csr()), status.INVALID_ARGUMENT, "csr-count"],
    ["with a signature that is wrong", () => pem(bent(csr(), -1)), status.INVALID_ARGUMENT, "csr-signature"],
    [
      "with bytes after the request",
      () => pem(Buffer.concat([csr(), Buffer.of(0)])),
      status.INVALID_ARGUMENT,
      "csr-trailing-bytes",
    ],
    ["with more than 4 KiB", () => pem(new Uint8Array(4097)), status.INVALID_ARGUMENT, "csr-too-large"],
    ["with bytes that are no request", () => pem(new Uint8Array(64)), status.INVALID_ARGUMENT, "csr-malformed"],
    ["without text", () => "", status.INVALID_ARGUMENT, "bad-pem"],
    ["with a certificate in its place", () => pemEncode("CERTIFICATE", csr()), status.INVALID_ARGUMENT, "bad-pem"],
    ["with a private key in its place", () => KeyPair.generate().privateKeyPem(), status.INVALID_ARGUMENT, "bad-pem"],
    ["with a block that is cut off", () => pem(csr()).slice(0, -10), status.INVALID_ARGUMENT, "bad-pem"],
    ["with text that is not base64", () => pem(csr()).replace(/[A-Z]{2}/, "??"), status.INVALID_ARGUMENT, "bad-pem"],
    [
      "with a MiB of beginnings",
      () => "-----BEGIN CERTIFICATE REQUEST-----\n".repeat(29_000),
      status.INVALID_ARGUMENT,
      "bad-pem",
    ],
    ["with more than a MiB", () => "-".repeat(2 ** 20 + 1), status.INVALID_ARGUMENT, "bad-pem"],
  ];
  test.each(cases)("%s", (_what, text, code, reason) => {
    const { ask, logger } = stage();
    const refused = refusalOf(() => ask(text()));
    expect([refused.code, refused.reason]).toEqual([code, reason]);
    expect(logger.lines).toEqual([]);
  });

  test("with words of the request only quoted and cut", () => {
    const { ask } = stage();
    const refused = refusalOf(() => ask(`-----BEGIN ${"\u0007".repeat(64)}-----\n`));
    expect(refused.details).not.toContain("\u0007");
    expect(refused.details.length).toBeLessThan(600);
  });

  test("for later, when the authority's own certificate is not valid now", () => {
    const { ask, clock } = stage();
    const request = pem(csr());
    clock.advance(49 * HOUR);
    expect(refusalOf(() => ask(request))).toMatchObject({ code: status.UNAVAILABLE, reason: "issuer-expired" });
    clock.step(0);
    expect(refusalOf(() => ask(request))).toMatchObject({ code: status.UNAVAILABLE, reason: "issuer-not-yet-valid" });
  });

  test("without a word on what is wrong on this side", () => {
    const foreign = parseSpiffeId("spiffe://elsewhere/ns/shop/sa/web");
    const { ask } = stage(foreign);
    const refused = refusalOf(() => ask(pem(csr(foreign))));
    expect([refused.code, refused.reason]).toEqual([status.INTERNAL, "foreign-trust-domain"]);
    expect(refused.details).not.toContain("elsewhere");
    expect(refused.cause).toBeInstanceOf(IdentityError);
  });

  test("by a Refusal and nothing else, whatever is sent", () => {
    const { ask } = stage();
    const good = pem(csr());
    const text = fc.oneof(
      fc.string(),
      fc.uint8Array({ maxLength: 200 }).map(pem),
      fc.nat(good.length - 1).map((at) => `${good.slice(0, at)}${good.slice(at + 1)}`),
      fc
        .tuple(fc.nat(pemDecode("CERTIFICATE REQUEST", good)[0]?.length ?? 0), fc.integer({ min: 1, max: 255 }))
        .map(([at, by]) => {
          const der = (pemDecode("CERTIFICATE REQUEST", good)[0] as Uint8Array).slice();
          der[at] = (der[at] ?? 0) ^ by;
          return pem(der);
        }),
    );
    fc.assert(
      fc.property(text, fc.integer(), (sent, wished) => {
        try {
          ask(sent, wished);
        } catch (error) {
          expect(error).toBeInstanceOf(Refusal);
        }
      }),
      { numRuns: 300 },
    );
  });
});

/** Tag, short or two-byte length, and content. */
function tlv(tag: number, ...parts: Uint8Array[]): Buffer {
  const content = Buffer.concat(parts);
  const length = content.length < 128 ? [content.length] : [0x82, content.length >> 8, content.length & 0xff];
  const form = content.length >= 128 && content.length < 256 ? [0x81, content.length] : length;
  return Buffer.concat([Buffer.of(tag, ...form), content]);
}

interface Craft {
  readonly version: Buffer;
  readonly subject: Buffer;
  readonly curve: string;
  readonly bend: (spki: Uint8Array) => Uint8Array;
  readonly attributes: readonly Buffer[];
  readonly algorithm: Buffer;
  readonly foreignSignature: boolean;
}

/** A PKCS #10 request (RFC 2986), good but for what the test makes of it. */
function craft(parts: Partial<Craft>): Uint8Array {
  const pair = () => generateKeyPairSync("ec", { namedCurve: parts.curve ?? "P-256" });
  const { publicKey, privateKey } = pair();
  const spki = publicKey.export({ type: "spki", format: "der" });
  const version = parts.version ?? tlv(0x02, Buffer.of(0));
  const attributes = tlv(0xa0, ...(parts.attributes ?? []));
  const info = tlv(0x30, version, parts.subject ?? tlv(0x30), parts.bend?.(spki) ?? spki, attributes);
  const algorithm = parts.algorithm ?? tlv(0x30, oid("2a8648ce3d040302"));
  const key = parts.foreignSignature === true ? pair().privateKey : privateKey;
  return tlv(0x30, info, algorithm, tlv(0x03, Buffer.of(0), sign("sha256", info, key)));
}

function oid(hex: string): Buffer {
  return tlv(0x06, Buffer.from(hex, "hex"));
}

function extension(id: string, value: Buffer): Buffer {
  return tlv(0x30, oid(id), tlv(0x04, value));
}

/** The attribute extensionRequest. */
function asking(...extensions: Buffer[]): Buffer {
  return tlv(0x30, oid("2a864886f70d01090e"), tlv(0x31, tlv(0x30, ...extensions)));
}
