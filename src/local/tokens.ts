/**
 * Service-account tokens as Kubernetes binds them to pods (KEP-1205): ES256 JWTs signed with a key that lives only
 * in this process, and the review of them.
 */
import { createHash, generateKeyPairSync, type KeyObject, sign, verify } from "node:crypto";
import type { Clock, Millis } from "../mesh/index.ts";
import type { TokenReview } from "../operator/index.ts";

/** `iss` of every token, as a cluster's default issuer. */
export const TOKEN_ISSUER = "https://kubernetes.default.svc.cluster.local";

/** Whom a token speaks for. */
export interface TokenSubject {
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly podName: string;
  readonly podUid: string;
}

/** A token that was found good, or why it was not. */
export type ReviewedToken =
  | ({ readonly authenticated: true; readonly audiences: readonly string[] } & TokenSubject)
  | { readonly authenticated: false; readonly error: string };

export interface SignedToken {
  readonly token: string;
  readonly expires: Millis;
}

/** Signs and reviews the tokens of one play run. */
export class TokenSigner {
  readonly #clock: Clock;
  readonly #privateKey: KeyObject;
  readonly #publicKey: KeyObject;
  readonly #keyId: string;
  readonly #podLives: (namespace: string, podName: string, podUid: string) => boolean;

  /** `podLives` answers whether the bound pod still exists: a token of a deleted pod is refused. */
  constructor(options: {
    readonly clock: Clock;
    readonly podLives: (namespace: string, podName: string, podUid: string) => boolean;
  }) {
    this.#clock = options.clock;
    this.#podLives = options.podLives;
    const pair = generateKeyPairSync("ec", { namedCurve: "P-256" });
    this.#privateKey = pair.privateKey;
    this.#publicKey = pair.publicKey;
    const spki = pair.publicKey.export({ type: "spki", format: "der" });
    this.#keyId = createHash("sha256").update(spki).digest("base64url");
  }

  /** A token for `audience` that lives `lifetime` milliseconds (whole seconds are kept). */
  issue(subject: TokenSubject, audience: string, lifetime: Millis): SignedToken {
    const now = Math.floor(this.#clock.now() / 1000);
    const expires = now + Math.floor(lifetime / 1000);
    const header = { alg: "ES256", kid: this.#keyId };
    const payload = {
      aud: [audience],
      exp: expires,
      iat: now,
      nbf: now,
      iss: TOKEN_ISSUER,
      sub: `system:serviceaccount:${subject.namespace}:${subject.serviceAccount}`,
      "kubernetes.io": {
        namespace: subject.namespace,
        pod: { name: subject.podName, uid: subject.podUid },
        serviceaccount: { name: subject.serviceAccount },
      },
    };
    const body = `${encode(header)}.${encode(payload)}`;
    const signature = sign("sha256", Buffer.from(body), { key: this.#privateKey, dsaEncoding: "ieee-p1363" });
    return { token: `${body}.${signature.toString("base64url")}`, expires: expires * 1000 };
  }

  /** The same, in the words of Kubernetes' TokenReview, as the operator hears it. */
  tokenReview(token: string, audience: string): TokenReview {
    const reviewed = this.review(token, audience);
    if (!reviewed.authenticated) return reviewed;
    const { namespace, serviceAccount, podName, podUid, audiences } = reviewed;
    const groups = ["system:serviceaccounts", `system:serviceaccounts:${namespace}`, "system:authenticated"];
    const username = `system:serviceaccount:${namespace}:${serviceAccount}`;
    return { authenticated: true, audiences, username, groups, podName, podUid, nodeName: undefined };
  }

  /** Judges a token: form, signature, time, issuer, audience, and that its pod lives. Never throws. */
  review(token: string, audience: string): ReviewedToken {
    const refuse = (error: string): ReviewedToken => ({ authenticated: false, error });
    const parts = token.split(".");
    if (parts.length !== 3 || token.length > 16_384) return refuse("not a JSON web token");
    const [head, body, tail] = parts as [string, string, string];
    const header = decode(head);
    const payload = decode(body);
    if (header === undefined || payload === undefined) return refuse("not a JSON web token");
    if (header["alg"] !== "ES256" || header["kid"] !== this.#keyId) return refuse("signed with an unknown key");
    const signature = Buffer.from(tail, "base64url");
    // The text is compared too: base64url with stray bits would be a second spelling of the same token.
    if (signature.length !== 64 || signature.toString("base64url") !== tail) return refuse("malformed signature");
    const key = { key: this.#publicKey, dsaEncoding: "ieee-p1363" as const };
    if (!verify("sha256", Buffer.from(`${head}.${body}`), key, signature)) return refuse("the signature is wrong");
    // What follows was signed by this process, so its shape is known; only its claims are judged.
    const claims = payload as unknown as {
      readonly aud: readonly string[];
      readonly exp: number;
      readonly nbf: number;
      readonly "kubernetes.io": {
        readonly namespace: string;
        readonly pod: { readonly name: string; readonly uid: string };
        readonly serviceaccount: { readonly name: string };
      };
    };
    const now = this.#clock.now() / 1000;
    if (now >= claims.exp) return refuse("the token has expired");
    if (now < claims.nbf) return refuse("the token is not valid yet");
    if (!claims.aud.includes(audience)) return refuse(`the token is not meant for ${audience}`);
    const bound = claims["kubernetes.io"];
    if (!this.#podLives(bound.namespace, bound.pod.name, bound.pod.uid)) return refuse("the pod of the token is gone");
    return {
      authenticated: true,
      audiences: [audience],
      namespace: bound.namespace,
      serviceAccount: bound.serviceaccount.name,
      podName: bound.pod.name,
      podUid: bound.pod.uid,
    };
  }
}

function encode(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}

function decode(part: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(part, "base64url").toString("utf8"));
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Readonly<Record<string, unknown>>)
      : undefined;
  } catch {
    return undefined;
  }
}
