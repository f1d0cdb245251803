/** CreateCertificate: a caller that proved to be a pod gets a certificate for its key, and nothing that it asked for besides. */
import { type Authority, IdentityError, type IssuedCertificate, pemDecode, pemEncode } from "../identity/index.ts";
import type { Logger, TulleError } from "../mesh/index.ts";
import type { IstioCertificateRequest, IstioCertificateResponse } from "../wire/index.ts";
import type { Caller } from "./callers.ts";
import { Refusal, type StatusName } from "./errors.ts";

export class Issuance {
  readonly #authority: Authority;
  readonly #logger: Logger;
  readonly #unfit: () => TulleError | undefined;

  constructor(authority: Authority, logger: Logger, unfit: () => TulleError | undefined = () => undefined) {
    this.#authority = authority;
    this.#logger = logger;
    this.#unfit = unfit;
  }

  /** Certificates issued so far. */
  issued = 0;

  /** One audit line for each certificate. Throws Refusal, its reason an error code of identity/. */
  issue(caller: Caller, request: IstioCertificateRequest): IstioCertificateResponse {
    const unfit = this.#unfit();
    if (unfit !== undefined) throw new Refusal("UNAVAILABLE", unfit.code, unfit.message);
    const issued = this.#sign(caller, request);
    const { pod, id } = caller;
    this.issued++;
    this.#logger.log("info", "certificate issued", {
      id,
      namespace: pod.namespace,
      pod: pod.name,
      podUid: pod.uid,
      serial: issued.serial,
      notAfter: new Date(issued.notAfter).toISOString(),
    });
    return {
      certChain: [...issued.chain.map((der) => pemEncode("CERTIFICATE", der)), this.#authority.bundle().pem()],
    };
  }

  #sign({ pod, id }: Caller, request: IstioCertificateRequest): IssuedCertificate {
    try {
      const [csr, ...more] = pemDecode("CERTIFICATE REQUEST", request.csr);
      if (csr === undefined || more.length > 0) {
        throw new Refusal("INVALID_ARGUMENT", "csr-count", "send exactly one certificate request");
      }
      // A lifetime is a wish: the authority's own is the upper bound, and less than a second is none.
      const wished = request.validityDuration * 1000;
      const lifetime = Number.isFinite(wished) && wished >= 1000 ? { lifetime: wished } : {};
      return this.#authority.issueWorkload({ csr, id, podUid: pod.uid, ...lifetime });
    } catch (error) {
      if (!(error instanceof IdentityError)) throw error;
      const status = statusOf(error);
      // What is wrong on this side is for the log.
      const message = status === "INTERNAL" ? "the operator could not sign; see its log" : error.message;
      throw new Refusal(status, error.code, message, { cause: error });
    }
  }
}

function statusOf({ code }: IdentityError): StatusName {
  if (code === "csr-san-mismatch") return "PERMISSION_DENIED";
  if (code.startsWith("csr-") || code === "bad-pem") return "INVALID_ARGUMENT";
  return code === "issuer-expired" || code === "issuer-not-yet-valid" ? "UNAVAILABLE" : "INTERNAL";
}
