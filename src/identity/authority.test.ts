import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { X509Certificate } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspect } from "node:util";
import "reflect-metadata";
import * as x509 from "@peculiar/x509";
import fc from "fast-check";
import { parseIp } from "../mesh/index.ts";
import { FakeClock } from "../testkit/fake-clock.ts";
import { SeededRandom } from "../testkit/seeded-random.ts";
import { type Bend, type Made, makeCertificate } from "./bent-certificate.fixture.ts";
import { TAG } from "./der.ts";
import { element, explicit, oid, sequence, unsignedInteger } from "./der-writer.ts";
import {
  Authority,
  createCsr,
  IdentityError,
  KeyPair,
  parseCertificate,
  parseTrustDomain,
  pemEncode,
  readCsr,
  readSvid,
  reasonOf,
  TrustBundle,
  verifyChain,
  workloadSpiffeId,
} from "./index.ts";
import { OID } from "./oids.ts";
import {
  altNamesExtension,
  authorityName,
  caExtension,
  EMPTY_NAME,
  extension,
  keyUsageExtension,
  signed,
} from "./profile.ts";

const DOMAIN = parseTrustDomain("cluster.local");
const ID = workloadSpiffeId(DOMAIN, "demo", "web");
const HOUR = 3_600_000;
const clock = new FakeClock(Date.now());
const authority = Authority.create({ trustDomain: DOMAIN, clock, random: new SeededRandom(7) });
const codeOf = (run: () => unknown): string => {
  try {
    run();
  } catch (error) {
    if (error instanceof IdentityError) return error.code;
    throw error;
  }
  return "accepted";
};
const issue = (key = KeyPair.generate(), podUid = "uid-1") =>
  authority.issueWorkload({ csr: createCsr(key, ID), id: ID, podUid });

describe("an issued leaf (X509-SVID §4, RFC 5280 §4)", () => {
  const key = KeyPair.generate();
  const issued = issue(key);
  const leaf = parseCertificate(issued.chain[0] as Uint8Array);

  test("carries exactly the fields of the profile", () => {
    expect(leaf.uriSans).toEqual([ID]);
    expect(leaf.sanCritical).toBe(true);
    expect(leaf.subject).toHaveLength(2);
    expect(leaf.isCa).toBe(false);
    expect(leaf.keyUsage).toEqual(["digitalSignature"]);
    expect(leaf.extendedKeyUsages).toEqual([OID.serverAuth, OID.clientAuth]);
    expect(leaf.spki).toEqual(key.spki);
    expect(leaf.authorityKeyId).toBe(authority.intermediateKeyId);
    expect(leaf.notAfter - leaf.notBefore).toBe(24 * HOUR + 120_000);
    expect(Math.abs(leaf.notBefore - (clock.now() - 120_000))).toBeLessThan(1000);
    expect(leaf.serial).toHaveLength(32);
    expect(leaf.der.length).toBeLessThan(600);
  });

  test("verifies against the bundle, and gives its SPIFFE ID", () => {
    expect(verifyChain(issued.chain, authority.bundle(), clock.now()).id).toBe(ID);
  });

  test("shares the second half of its serial with every leaf of the same pod, and no other half", () => {
    const again = issue(KeyPair.generate(), "uid-1").serial;
    const other = issue(KeyPair.generate(), "uid-2").serial;
    expect(again.slice(16)).toBe(issued.serial.slice(16));
    expect(again.slice(0, 16)).not.toBe(issued.serial.slice(0, 16));
    expect(other.slice(16)).not.toBe(issued.serial.slice(16));
  });

  test("never outlives its issuers, and is not issued past their end", () => {
    const time = new FakeClock(Date.now());
    const short = Authority.create({
      trustDomain: DOMAIN,
      clock: time,
      random: new SeededRandom(3),
      intermediateLifetime: HOUR,
    });
    const made = short.issueWorkload({ csr: createCsr(KeyPair.generate(), ID), id: ID, podUid: "u" });
    expect(made.notAfter).toBeLessThanOrEqual(time.now() + HOUR);
    time.advance(HOUR + 1000);
    expect(codeOf(() => short.issueWorkload({ csr: createCsr(KeyPair.generate(), ID), id: ID, podUid: "u" }))).toBe(
      "issuer-expired",
    );
  });

  test("is refused for an identity of another trust domain", () => {
    const foreign = workloadSpiffeId(parseTrustDomain("other.org"), "demo", "web");
    const csr = createCsr(KeyPair.generate(), foreign);
    expect(codeOf(() => authority.issueWorkload({ csr, id: foreign, podUid: "u" }))).toBe("foreign-trust-domain");
  });

  test("of the operator carries its DNS names and addresses", () => {
    const made = authority.issueServer({
      spki: key.spki,
      id: ID,
      dnsNames: ["a.svc"],
      ips: [parseIp("10.0.0.1"), parseIp("fd00::1")].filter((ip) => ip !== undefined),
    });
    const server = parseCertificate(made.chain[0] as Uint8Array);
    expect(server.dnsSans).toEqual(["a.svc"]);
    expect(server.ipSans.map(String)).toEqual(["10.0.0.1", "fd00::1"]);
    expect(new X509Certificate(Buffer.from(server.der)).checkHost("a.svc")).toBe("a.svc");
  });
});

describe("a private key", () => {
  test("does not print", () => {
    const key = KeyPair.generate();
    const secret = key.privateKeyPem().split("\n")[1] ?? "";
    expect(secret.length).toBeGreaterThan(30);
    for (const text of [
      String(key),
      JSON.stringify({ key }),
      inspect(key, { depth: 5, showHidden: true }),
      inspect(authority, { depth: 9, showHidden: true }),
      JSON.stringify(authority),
    ]) {
      expect(text).not.toContain(secret);
      expect(text).not.toContain("PRIVATE");
    }
  });
});

describe("outside judges", () => {
  let folder = "";
  const openssl = (...args: string[]) => {
    const ran = Bun.spawnSync(["openssl", ...args]);
    return ran.stdout.toString() + ran.stderr.toString();
  };
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "tulle-identity-"));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const file = (name: string, text: string) => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };

  test("openssl verifies every chain, for both purposes, and prints the leaf's fields", () => {
    const issued = issue();
    const leaf = issued.chain[0] as Uint8Array;
    const intermediate = issued.chain[1] as Uint8Array;
    const root = file("root.pem", authority.bundle().pem());
    const untrusted = file("intermediate.pem", pemEncode("CERTIFICATE", intermediate));
    const leafFile = file("leaf.pem", pemEncode("CERTIFICATE", leaf));
    for (const purpose of ["sslserver", "sslclient"]) {
      expect(
        openssl("verify", "-x509_strict", "-purpose", purpose, "-CAfile", root, "-untrusted", untrusted, leafFile),
      ).toContain("leaf.pem: OK");
    }
    const shown = openssl("x509", "-text", "-noout", "-in", leafFile);
    expect(shown).toContain(`URI:${ID}`);
    expect(shown).toMatch(/Subject Alternative Name: critical/);
    expect(shown).toMatch(/Key Usage: critical\s+Digital Signature\s/);
    expect(shown).toMatch(/TLS Web Server Authentication, TLS Web Client Authentication/);
    expect(shown).toMatch(/CA:FALSE/);
    expect(shown).toContain("ecdsa-with-SHA256");
    const other = Authority.create({ trustDomain: DOMAIN, clock, random: new SeededRandom(9) });
    const foreign = file("other.pem", other.bundle().pem());
    expect(openssl("verify", "-CAfile", foreign, "-untrusted", untrusted, leafFile)).not.toContain("OK");
  });

  test("openssl verifies a request's signature and shows its one URI", () => {
    const request = file("request.pem", pemEncode("CERTIFICATE REQUEST", createCsr(KeyPair.generate(), ID)));
    const shown = openssl("req", "-verify", "-text", "-noout", "-in", request);
    expect(shown).toMatch(/verify OK/i);
    expect(shown).toContain(`URI:${ID}`);
  });

  test("openssl's own request for the same name is accepted", () => {
    openssl(
      "req",
      "-new",
      "-newkey",
      "ec",
      "-pkeyopt",
      "ec_paramgen_curve:P-256",
      "-nodes",
      "-keyout",
      join(folder, "k.pem"),
      "-subj",
      "/",
      "-addext",
      `subjectAltName=URI:${ID}`,
      "-outform",
      "DER",
      "-out",
      join(folder, "r.der"),
    );
    const der = new Uint8Array(readFileSync(join(folder, "r.der")));
    expect(readCsr(der, ID).spki).toHaveLength(91);
  });

  test("@peculiar/x509 reads the same fields of leaf and request", async () => {
    const key = KeyPair.generate();
    const leaf = parseCertificate(issue(key).chain[0] as Uint8Array);
    const read = new x509.X509Certificate(Buffer.from(leaf.der));
    expect(read.serialNumber).toBe(leaf.serial);
    expect(read.notAfter.getTime()).toBe(leaf.notAfter);
    const san = read.getExtension(x509.SubjectAlternativeNameExtension);
    expect(san?.names.items.map((name) => [name.type, name.value])).toEqual([["url", ID]]);
    const request = new x509.Pkcs10CertificateRequest(Buffer.from(createCsr(key, ID)));
    expect(await request.verify()).toBe(true);
  });
});

describe("readCsr refuses", () => {
  const key = KeyPair.generate();
  const version = unsignedInteger(Uint8Array.of(0));
  const san = (uris: readonly string[], more: { dns?: readonly string[]; ips?: readonly Uint8Array[] } = {}) =>
    altNamesExtension({ uris, ...more }, true);
  const attributesOf = (...extensions: Uint8Array[]) =>
    explicit(0, sequence(oid(OID.extensionRequest), element(TAG.set, sequence(...extensions))));
  const csrOf = (parts: {
    version?: Uint8Array;
    subject?: Uint8Array;
    spki?: Uint8Array;
    attributes?: Uint8Array;
    signer?: KeyPair;
    algorithm?: Uint8Array;
  }) => {
    const info = sequence(
      parts.version ?? version,
      parts.subject ?? EMPTY_NAME,
      parts.spki ?? key.spki,
      parts.attributes ?? attributesOf(san([ID])),
    );
    const signature = (parts.signer ?? key).sign(info);
    if (parts.algorithm === undefined) return signed(info, signature);
    return sequence(info, parts.algorithm, element(TAG.bitString, Uint8Array.of(0), signature));
  };
  const good = createCsr(key, ID);
  const flipped = (index: number) => good.map((byte, at) => (at === good.length + index ? byte ^ 1 : byte));
  const offCurve = key.spki.map((byte, at) => (at === key.spki.length - 1 ? byte ^ 1 : byte));
  const cases: [string, Uint8Array, string][] = [
    [
      "a request for another service account",
      createCsr(key, workloadSpiffeId(DOMAIN, "demo", "other")),
      "csr-san-mismatch",
    ],
    ["a request for another namespace", createCsr(key, workloadSpiffeId(DOMAIN, "other", "web")), "csr-san-mismatch"],
    [
      "a request of another trust domain",
      createCsr(key, workloadSpiffeId(parseTrustDomain("evil"), "demo", "web")),
      "csr-san-mismatch",
    ],
    ["two URI SANs", csrOf({ attributes: attributesOf(san([ID, `${ID}x`])) }), "csr-san-count"],
    ["the same URI twice", csrOf({ attributes: attributesOf(san([ID, ID])) }), "csr-san-count"],
    [
      "a DNS name beside the URI",
      csrOf({ attributes: attributesOf(san([ID], { dns: ["evil.example"] })) }),
      "csr-san-kind",
    ],
    [
      "an address beside the URI",
      csrOf({ attributes: attributesOf(san([ID], { ips: [Uint8Array.of(10, 0, 0, 1)] })) }),
      "csr-san-kind",
    ],
    ["a DNS name alone", csrOf({ attributes: attributesOf(san([], { dns: ["evil.example"] })) }), "csr-san-kind"],
    ["an empty SAN", csrOf({ attributes: attributesOf(san([])) }), "csr-san-count"],
    [
      "an e-mail name beside the URI",
      csrOf({
        attributes: attributesOf(
          extension(
            OID.subjectAltName,
            true,
            sequence(element(0x81, Uint8Array.of(97, 64, 98)), element(0x86, new TextEncoder().encode(ID))),
          ),
        ),
      }),
      "csr-san-kind",
    ],
    ["a signature of another key", csrOf({ signer: KeyPair.generate() }), "csr-signature"],
    ["a flipped signature bit", flipped(-1), "csr-signature"],
    ["another version", csrOf({ version: unsignedInteger(Uint8Array.of(1)) }), "csr-version"],
    ["a subject", csrOf({ subject: authorityName("me") }), "csr-subject"],
    ["a CA request", csrOf({ attributes: attributesOf(san([ID]), caExtension(0)) }), "csr-extension"],
    [
      "keyCertSign",
      csrOf({ attributes: attributesOf(san([ID]), keyUsageExtension(["digitalSignature", "keyCertSign"])) }),
      "csr-key-usage",
    ],
    [
      "serverAuth alone",
      csrOf({
        attributes: attributesOf(san([ID]), extension(OID.extendedKeyUsage, false, sequence(oid(OID.serverAuth)))),
      }),
      "csr-extended-key-usage",
    ],
    [
      "an unknown extension",
      csrOf({ attributes: attributesOf(san([ID]), extension("1.2.3.4", false, sequence())) }),
      "csr-extension",
    ],
    [
      "an unknown critical extension",
      csrOf({ attributes: attributesOf(san([ID]), extension("1.2.3.4", true, sequence())) }),
      "csr-extension",
    ],
    ["the SAN extension twice", csrOf({ attributes: attributesOf(san([ID]), san([ID])) }), "csr-extension-repeated"],
    [
      "another attribute",
      csrOf({
        attributes: explicit(0, sequence(oid("1.2.840.113549.1.9.7"), element(TAG.set, sequence()))),
      }),
      "csr-attribute",
    ],
    [
      "two attributes",
      csrOf({
        attributes: explicit(
          0,
          sequence(oid(OID.extensionRequest), element(TAG.set, sequence(san([ID])))),
          sequence(oid(OID.extensionRequest), element(TAG.set, sequence(san([ID])))),
        ),
      }),
      "csr-attribute",
    ],
    [
      "two values of the attribute",
      csrOf({
        attributes: explicit(
          0,
          sequence(oid(OID.extensionRequest), element(TAG.set, sequence(san([ID])), sequence(san([ID])))),
        ),
      }),
      "csr-attribute",
    ],
    [
      "an RSA key",
      csrOf({
        spki: sequence(
          sequence(oid("1.2.840.113549.1.1.1"), element(0x05)),
          element(TAG.bitString, Uint8Array.of(0, 1, 2, 3)),
        ),
      }),
      "csr-key-type",
    ],
    [
      "a P-384 key",
      csrOf({
        spki: sequence(
          sequence(oid("1.2.840.10045.2.1"), oid("1.3.132.0.34")),
          element(TAG.bitString, new Uint8Array(98)),
        ),
      }),
      "csr-key-type",
    ],
    [
      "a compressed point",
      csrOf({ spki: Uint8Array.from([...key.spki.subarray(0, 26), 2, ...key.spki.subarray(27, 59)]) }),
      "csr-malformed",
    ],
    ["a point off the curve", csrOf({ spki: offCurve }), "csr-key-point"],
    ["an SHA-1 signature", csrOf({ algorithm: sequence(oid("1.2.840.10045.4.1")) }), "csr-signature-algorithm"],
    [
      "parameters of the algorithm",
      csrOf({ algorithm: sequence(oid(OID.ecdsaWithSha256), element(0x05)) }),
      "csr-signature-algorithm",
    ],
    ["bytes after the end", Uint8Array.from([...good, 0]), "csr-trailing-bytes"],
    ["a cut request", good.subarray(0, good.length - 1), "csr-malformed"],
    ["nothing", new Uint8Array(), "csr-malformed"],
    ["an indefinite length", Uint8Array.from([0x30, 0x80, ...good.subarray(4), 0, 0]), "csr-malformed"],
    ["more than 4 KiB", new Uint8Array(5000), "csr-too-large"],
  ];
  test.each(cases)("%s", (_name, der, code) => {
    expect(codeOf(() => readCsr(der, ID))).toBe(code);
  });

  test("none of 500 requests with a random flipped bit, but for reasons of its own", () => {
    fc.assert(
      fc.property(fc.nat(good.length - 1), fc.nat(7), (at, bit) => {
        const bent = good.slice();
        bent[at] = (bent[at] ?? 0) ^ (1 << bit);
        expect(codeOf(() => readCsr(bent, ID))).not.toBe("accepted");
      }),
      { numRuns: 500 },
    );
  });
});

describe("verifyChain and readSvid refuse", () => {
  const root = makeCertificate({ ca: true });
  const middle = makeCertificate({ ca: true, pathLength: 0 }, root);
  const bundle = TrustBundle.of(1, [root.der]);
  const verify = (leaf: Made, ...rest: Made[]) =>
    codeOf(() =>
      verifyChain(
        [leaf, ...rest].map((one) => one.der),
        bundle,
        Date.now(),
      ),
    );
  const bent = (bend: Bend) => makeCertificate({ uris: [ID], ...bend }, middle);
  const past = Date.now() - 48 * HOUR;
  const cases: [string, Bend, string][] = [
    ["two URI SANs (X509-SVID §2)", { uris: [ID, `${ID}2`] }, "svid-uri-count"],
    ["no URI SAN", { uris: [] }, "svid-uri-count"],
    ["a URI that is no SPIFFE ID", { uris: ["https://a/b"] }, "svid-spiffe-id"],
    ["the trust domain's own ID (X509-SVID §5.2)", { uris: ["spiffe://cluster.local"] }, "svid-root-path"],
    ["a CA as leaf", { ca: true, subject: authorityName("leaf") }, "svid-is-ca"],
    ["keyCertSign on a leaf", { usage: ["digitalSignature", "keyCertSign"] }, "svid-signing-usage"],
    ["cRLSign on a leaf", { usage: ["digitalSignature", "cRLSign"] }, "svid-signing-usage"],
    ["no digitalSignature", { usage: ["keyAgreement"] }, "svid-no-digital-signature"],
    [
      "serverAuth alone",
      { extended: extension(OID.extendedKeyUsage, false, sequence(oid(OID.serverAuth))) },
      "svid-extended-key-usage",
    ],
    ["an expired leaf", { notBefore: past, notAfter: past + HOUR }, "expired"],
    ["a leaf that is not valid yet", { notBefore: Date.now() + HOUR }, "not-yet-valid"],
    ["an unknown critical extension", { extra: [extension("1.2.3.4", true, sequence())] }, "chain-critical-extension"],
  ];
  test("nothing about a good chain", () => {
    expect(verify(bent({}), middle)).toBe("accepted");
    expect(verify(makeCertificate({ uris: [ID] }, root))).toBe("accepted");
    expect(verify(bent({ extra: [extension("1.2.3.4", false, sequence())] }), middle)).toBe("accepted");
  });
  test.each(cases)("%s", (_name, bend, code) => {
    expect(verify(bent(bend), middle)).toBe(code);
  });
  test("a chain without its intermediate, of another root, out of order, or with a forged issuer", () => {
    const other = makeCertificate({ ca: true });
    const forged = makeCertificate({ ca: true, subject: middle.subject }, other);
    expect(verify(bent({}))).toBe("untrusted");
    expect(verify(makeCertificate({ uris: [ID] }, other))).toBe("untrusted");
    expect(verify(bent({}), root, middle)).not.toBe("accepted");
    expect(verify(makeCertificate({ uris: [ID] }, forged), forged)).toBe("untrusted");
  });
  test("an intermediate that is no CA, may not sign, or is below path length 0", () => {
    const leafAsIssuer = makeCertificate({ uris: [ID], subject: authorityName("x") }, root);
    expect(verify(makeCertificate({ uris: [ID] }, leafAsIssuer), leafAsIssuer)).toBe("chain-not-ca");
    const mute = makeCertificate({ ca: true, usage: ["cRLSign"] }, root);
    expect(verify(makeCertificate({ uris: [ID] }, mute), mute)).toBe("chain-issuer-usage");
    const deep = makeCertificate({ ca: true }, middle);
    expect(verify(makeCertificate({ uris: [ID] }, deep), deep, middle)).toBe("chain-path-length");
  });
  test("an expired intermediate", () => {
    const old = makeCertificate({ ca: true, notBefore: past, notAfter: past + HOUR }, root);
    expect(verify(makeCertificate({ uris: [ID] }, old), old)).toBe("expired");
  });
  test("everything, when the bundle is empty", () => {
    expect(codeOf(() => verifyChain([bent({}).der, middle.der], TrustBundle.of(2, []), Date.now()))).toBe("untrusted");
  });
  test("an extension that comes twice (RFC 5280 §4.2)", () => {
    const twice = extension("1.2.3.4", false, sequence());
    expect(verify(bent({ extra: [twice, twice] }), middle)).toBe("certificate-malformed");
  });
  test.each([
    [0x81, "accepted"],
    [0xa4, "accepted"],
    [0x30, "certificate-malformed"],
    [0xa6, "certificate-malformed"],
    [0x89, "certificate-malformed"],
  ])("an alternative name whose tag %d no kind of name has (RFC 5280 §4.2.1.6): %s", (tag, code) => {
    const names = sequence(element(0x86, new TextEncoder().encode(ID)), element(tag));
    expect(verify(bent({ uris: [], extra: [extension(OID.subjectAltName, true, names)] }), middle)).toBe(code);
  });
  test("hostile bytes, with an IdentityError and nothing else", () => {
    const leaf = bent({}).der;
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(leaf.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 }), (edits) => {
        const bytes = leaf.slice();
        for (const [at, value] of edits) bytes[at] = value;
        codeOf(() => readSvid(bytes));
      }),
      { numRuns: 500 },
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) =>
        expect(codeOf(() => readSvid(bytes))).not.toBe("accepted"),
      ),
    );
  });
  test("with the word of the closed list for the caller", () => {
    expect(reasonOf(new IdentityError("expired", "x"))).toBe("refused-expired");
    expect(reasonOf(new IdentityError("not-yet-valid", "x"))).toBe("refused-expired");
    expect(reasonOf(new IdentityError("untrusted", "x"))).toBe("refused-untrusted");
    expect(reasonOf(new IdentityError("svid-uri-count", "x"))).toBe("refused-untrusted");
  });
});
