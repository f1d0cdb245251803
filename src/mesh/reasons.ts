/**
 * The closed list of reasons: every connection ends with exactly one of these words, the same in metrics,
 * logs, command line and documents. Adding a word here is a change of the public interface.
 */
export const REASONS = {
  mtls: "carried by mutual TLS between two verified identities",
  "plaintext-permissive": "plaintext from outside the mesh, accepted because the pod is PERMISSIVE",
  "plaintext-unmeshed": "plaintext to a known destination that has no sidecar",
  "plaintext-external": "plaintext to a destination outside the mesh",
  "refused-strict": "plaintext refused because the pod is STRICT",
  "refused-policy": "a policy denied it",
  "refused-own-port": "the destination is one of the mesh's own ports",
  "refused-untrusted": "the peer has no certificate that the trust bundle vouches for",
  "refused-expired": "the peer's certificate is expired or not yet valid",
  "refused-revoked": "the peer's certificate is revoked",
  "refused-identity-mismatch": "the peer's SPIFFE ID is not the one that discovery named for its address",
  "failed-connect": "the destination could not be reached",
  "failed-handshake": "the TLS handshake broke for another reason than the peer's certificate",
  "failed-discovery": "discovery did not answer for a destination inside the mesh's ranges",
  "failed-no-endpoint": "the service has no endpoint that can take connections",
  "failed-no-certificate": "this proxy has no valid certificate of its own",
  "failed-overload": "a limit of the proxy was reached",
} as const;

/** One word of the closed list. */
export type Reason = keyof typeof REASONS;

/** The header that carries the reason's word on a 401 or 503 answer to CONNECT. */
export const REASON_HEADER = "tulle-reason";

/** True when a word received from a peer is in the list; anything else is not to be believed. */
export function isReason(word: string): word is Reason {
  return Object.hasOwn(REASONS, word);
}
