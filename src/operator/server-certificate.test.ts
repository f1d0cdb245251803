import { describe, expect, test } from "bun:test";
import { createPrivateKey, X509Certificate } from "node:crypto";
import { Authority, parseTrustDomain } from "../identity/index.ts";
import { type Ip, SYSTEM_NAMESPACE } from "../mesh/index.ts";
import { FakeClock } from "../testkit/fake-clock.ts";
import { MemoryLogger } from "../testkit/memory-logger.ts";
import { SeededRandom } from "../testkit/seeded-random.ts";
import { ServerCertificate } from "./server-certificate.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

function stage(intermediateLifetime = 100 * 24 * HOUR, namespace = SYSTEM_NAMESPACE) {
  const clock = new FakeClock();
  const authority = Authority.create({
    trustDomain: parseTrustDomain("cluster.local"),
    clock,
    random: new SeededRandom(),
    intermediateLifetime,
  });
  const logger = new MemoryLogger();
  const certificate = new ServerCertificate(authority, clock, logger, {
    namespace,
    ips: ["10.96.0.10" as Ip],
  });
  const leaf = () => new X509Certificate(certificate.current.cert);
  return { clock, logger, certificate, leaf };
}

describe("the operator's own certificate", () => {
  test("carries its SPIFFE ID, its DNS names and its addresses, with the key that belongs to it", () => {
    const { certificate, leaf } = stage();
    expect(leaf().subjectAltName?.split(", ").sort()).toEqual([
      "DNS:tulle-operator.tulle-system.svc",
      "DNS:tulle-operator.tulle-system.svc.cluster.local",
      "IP Address:10.96.0.10",
      "URI:spiffe://cluster.local/ns/tulle-system/sa/tulle-operator",
    ]);
    expect(leaf().checkPrivateKey(createPrivateKey(certificate.current.key))).toBe(true);
    expect(certificate.current.cert.match(/BEGIN CERTIFICATE/g)).toHaveLength(2);
  });

  test("names the namespace in which the operator runs, in all its names", () => {
    const { leaf } = stage(undefined, "mesh");
    const names = leaf().subjectAltName?.split(", ") ?? [];
    expect(names).toContain("URI:spiffe://cluster.local/ns/mesh/sa/tulle-operator");
    expect(names).toContain("DNS:tulle-operator.mesh.svc");
    expect(names.join()).not.toContain(SYSTEM_NAMESPACE);
  });

  test("is renewed at half of its lifetime, with a new key", () => {
    const { clock, certificate, leaf } = stage();
    const { cert, key } = certificate.current;
    const { serialNumber } = leaf();
    clock.advance(12 * HOUR - 1);
    expect(certificate.current.cert).toBe(cert);
    clock.advance(1);
    expect(leaf().serialNumber).not.toBe(serialNumber);
    expect(certificate.current.key).not.toBe(key);
    clock.advance(12 * HOUR);
    expect(Date.parse(leaf().validTo)).toBe(clock.now() + 24 * HOUR);
  });

  test("is renewed within 30 s after the machine slept through its time", () => {
    const { clock, leaf } = stage();
    const { serialNumber } = leaf();
    clock.step(clock.now() + 20 * HOUR);
    clock.advance(30_000);
    expect(leaf().serialNumber).not.toBe(serialNumber);
  });

  test("stays in use when it cannot be renewed, and every 30 s is another try", () => {
    const { clock, logger, certificate } = stage(30 * HOUR);
    clock.advance(29 * HOUR);
    const { cert } = certificate.current;
    clock.advance(HOUR + 5 * MINUTE);
    expect(certificate.current.cert.length).toBeGreaterThan(0);
    expect(logger.of("the operator's own certificate was not renewed").length).toBeGreaterThan(5);
    expect(logger.lines.every((line) => !JSON.stringify(line).includes("PRIVATE KEY"))).toBe(true);
    expect(certificate.current.cert).not.toBe("");
    expect(cert).toContain("BEGIN CERTIFICATE");
  });

  test("leaves no timer", () => {
    const { clock, certificate } = stage();
    expect(clock.pending).toBe(1);
    certificate[Symbol.dispose]();
    expect(clock.pending).toBe(0);
  });
});
