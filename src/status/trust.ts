/** What a trust bundle says to people: whose it is, which roots, until when. */
import { X509Certificate } from "node:crypto";

export interface Root {
  /** SHA-256 of the certificate, lower-case hex. */
  readonly fingerprint: string;
  /** RFC 3339. */
  readonly expires: string;
}

export interface Trust {
  /** Null where no root names one. */
  readonly trustDomain: string | null;
  readonly roots: readonly Root[];
}

/** The roots of a bundle in PEM. What is no certificate is left out: somebody else may have written into the ConfigMap. */
export function readTrust(pem: string): Trust {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  const certificates = blocks.flatMap((block) => parsed(block) ?? []);
  const domains = certificates.flatMap((one) => /URI:spiffe:\/\/([^/,\s]+)/.exec(one.subjectAltName ?? "")?.[1] ?? []);
  return {
    trustDomain: domains[0] ?? null,
    roots: certificates.map((one) => ({
      fingerprint: one.fingerprint256.replaceAll(":", "").toLowerCase(),
      expires: one.validToDate.toISOString(),
    })),
  };
}

function parsed(pem: string): X509Certificate | undefined {
  try {
    return new X509Certificate(pem);
  } catch {
    return undefined;
  }
}
