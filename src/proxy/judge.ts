/**
 * The verdict on a tunnel's peer. BoringSSL judges the chain, this file judges what BoringSSL said and who the peer is.
 * Everything that is not known to be good is refused.
 */
import { readSvid, type SpiffeId, type TrustDomain, trustDomainOf } from "../identity/index.ts";
import type { Reason } from "../mesh/index.ts";
import type { OwnedSocket } from "./socket.ts";

/** ALPN in wire form: the text form is not understood (bun-facts.md). */
export const ALPN_H2 = Buffer.from("\x02h2");
/** SSL_OP_NO_TLSv1, _1_1 and _1_2: TLS 1.3 only. */
const ONLY_TLS_1_3 = 0x04000000 | 0x08000000 | 0x10000000;
/** SSL_OP_NO_TICKET: a resumed session is not judged again, whatever became of the peer's certificate or the bundle. */
const NO_RESUMPTION = 0x00004000;
/** `secureOptions` of every TLS end of the proxy. */
export const TLS_OPTIONS = ONLY_TLS_1_3 | NO_RESUMPTION;

export type Verdict =
  | { readonly ok: true; readonly peer: SpiffeId }
  | { readonly ok: false; readonly reason: Reason; readonly detail: string; readonly peer?: SpiffeId };

/** The codes that say that only the time is wrong. */
const TIME_CODES = new Set(["CERT_HAS_EXPIRED", "CERT_NOT_YET_VALID"]);
/** BoringSSL reports a client without certificate as a protocol error. */
const NO_CERTIFICATE = "PEER_DID_NOT_RETURN_A_CERTIFICATE";
/** Reported only when the chain was good: a SPIFFE-only certificate has no host name (bun-facts.md). */
const ONLY_NAME_DIFFERS = "ERR_TLS_CERT_ALTNAME_INVALID";

/**
 * Judges a server, in the client's `handshake` callback: its chain, then exactly the SPIFFE ID that discovery named.
 * Not a byte may be written before this answered `ok`.
 */
export function judgeServer(socket: OwnedSocket, error: Error | null, expected: SpiffeId): Verdict {
  const refusal = error === null || codeOf(error) === ONLY_NAME_DIFFERS ? undefined : refuse(error);
  if (refusal !== undefined) return refusal;
  const verdict = readPeer(socket);
  if (!verdict.ok || verdict.peer === expected) return verdict;
  return {
    ok: false,
    reason: "refused-identity-mismatch",
    detail: `expected ${expected}`,
    peer: verdict.peer,
  };
}

/** Judges a client, in the server's `handshake` callback: its chain, then a valid SVID of our own trust domain. */
export function judgeClient(socket: OwnedSocket, error: Error | null, trustDomain: TrustDomain): Verdict {
  if (error !== null) return refuse(error);
  const verdict = readPeer(socket);
  if (!verdict.ok || trustDomainOf(verdict.peer) === trustDomain) return verdict;
  return { ok: false, reason: "refused-untrusted", detail: "another trust domain", peer: verdict.peer };
}

/** The identity from the certificate's DER, never from its formatted text; and h2 must have been agreed on. */
function readPeer(socket: OwnedSocket): Verdict {
  const raw: Uint8Array | undefined = certificateOf(socket)?.raw;
  if (raw === undefined) return { ok: false, reason: "refused-untrusted", detail: "no certificate" };
  let peer: SpiffeId;
  try {
    peer = readSvid(raw).id;
  } catch (error) {
    return { ok: false, reason: "refused-untrusted", detail: error instanceof Error ? error.message : String(error) };
  }
  if (socket.alpnProtocol !== "h2") return { ok: false, reason: "failed-handshake", detail: "no ALPN h2", peer };
  return { ok: true, peer };
}

function refuse(error: Error): Verdict {
  const code = codeOf(error);
  if (TIME_CODES.has(code)) return { ok: false, reason: "refused-expired", detail: code };
  if (error.message.includes(NO_CERTIFICATE))
    return { ok: false, reason: "refused-untrusted", detail: "no certificate" };
  const broken = code === "EPROTO" || code.startsWith("ECONN") || code === "EPIPE" || code.startsWith("ERR_SSL");
  return {
    ok: false,
    reason: broken ? "failed-handshake" : "refused-untrusted",
    detail: broken || code === "" ? error.message : code,
  };
}

function certificateOf(socket: OwnedSocket): { raw?: Uint8Array } | undefined {
  // Bun's types leave the argument out; with `true` the DER is there.
  const read = socket.getPeerCertificate as (this: OwnedSocket, detailed: boolean) => { raw?: Uint8Array } | undefined;
  return read.call(socket, true);
}

function codeOf(error: Error): string {
  return "code" in error && typeof error.code === "string" ? error.code : "";
}
