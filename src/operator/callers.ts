/**
 * Who calls: a bearer token is reviewed, and what it says is held against the pods that are known. The closed list of
 * checks of a certificate request begins here; the CSR's own are in identity/.
 */
import { parseSpiffeId, type SpiffeId, type TrustDomain, workloadSpiffeId } from "../identity/index.ts";
import { objectKey, type PodRecord, type Store, TOKEN_AUDIENCE } from "../mesh/index.ts";
import { Refusal } from "./errors.ts";

/** What a reviewer says of a token, in the words of Kubernetes' TokenReview (authentication.k8s.io/v1). */
export type TokenReview =
  | {
      readonly authenticated: true;
      /** Those of the asked audiences for which the token is valid. */
      readonly audiences: readonly string[];
      /** `system:serviceaccount:<namespace>:<name>`. */
      readonly username: string;
      readonly groups: readonly string[];
      /** The pod that the token is bound to. */
      readonly podName: string | undefined;
      readonly podUid: string | undefined;
      readonly nodeName: string | undefined;
    }
  | { readonly authenticated: false; readonly error: string };

export interface TokenReviewer {
  /** Never rejects for a bad token: only when nobody could be asked. */
  review(token: string, audience: string): Promise<TokenReview>;
}

/** A caller who proved to be a pod. */
export interface Caller {
  readonly id: SpiffeId;
  readonly pod: PodRecord;
}

/** Tokens of Kubernetes have about 1 KiB. */
const LONGEST_TOKEN = 16_384;
const GROUP = "system:serviceaccounts";

export class Callers {
  readonly #reviewer: TokenReviewer;
  readonly #pods: Store<PodRecord>;
  readonly #trustDomain: TrustDomain;

  constructor(reviewer: TokenReviewer, pods: Store<PodRecord>, trustDomain: TrustDomain) {
    this.#reviewer = reviewer;
    this.#pods = pods;
    this.#trustDomain = trustDomain;
  }

  /** `authorization`: every value of that header. Throws Refusal. */
  async authenticate(authorization: readonly string[]): Promise<Caller> {
    const review = await this.#review(readBearer(authorization));
    // A reviewer's words may name what only the operator knows: they go to the log.
    if (!review.authenticated) throw unauthenticated("token-invalid", "the token is not valid", review.error);
    if (!review.audiences.includes(TOKEN_AUDIENCE)) {
      throw unauthenticated("token-audience", `the token is not meant for ${TOKEN_AUDIENCE}`);
    }
    if (!review.groups.includes(GROUP)) throw unauthenticated("token-subject", "the token is no service account's");
    const account = /^system:serviceaccount:([^:]+):([^:]+)$/.exec(review.username);
    const [, namespace, serviceAccount] = account ?? [];
    if (namespace === undefined || serviceAccount === undefined) {
      throw unauthenticated("token-subject", "the token is no service account's");
    }
    const { podName, podUid } = review;
    if (podName === undefined || podUid === undefined) {
      throw unauthenticated("token-unbound", "the token is not bound to a pod");
    }
    const pod = this.#pods.get(objectKey(namespace, podName));
    // The one case that passes by itself: the pod is so new that nobody has told this operator of it.
    if (pod === undefined) throw new Refusal("UNAVAILABLE", "pod-unknown", `pod ${namespace}/${podName} is not known`);
    if (pod.uid !== podUid) throw denied("pod-replaced", "the token belongs to an earlier pod of this name");
    if (pod.finished) throw denied("pod-finished", "the pod has ended");
    if (pod.serviceAccount !== serviceAccount) {
      throw denied("pod-service-account", "the pod runs as another service account");
    }
    if (review.nodeName !== undefined && pod.node !== "" && review.nodeName !== pod.node) {
      throw denied("pod-node", "the pod runs on another node");
    }
    return { id: this.#idOf(namespace, serviceAccount), pod };
  }

  async #review(token: string): Promise<TokenReview> {
    try {
      return await this.#reviewer.review(token, TOKEN_AUDIENCE);
    } catch (cause) {
      throw new Refusal("UNAVAILABLE", "review-failed", "the token could not be reviewed now", { cause });
    }
  }

  #idOf(namespace: string, serviceAccount: string): SpiffeId {
    try {
      return parseSpiffeId(workloadSpiffeId(this.#trustDomain, namespace, serviceAccount));
    } catch {
      throw unauthenticated("token-subject", "namespace or service account is not a Kubernetes name");
    }
  }
}

function readBearer(authorization: readonly string[]): string {
  const [value, ...more] = authorization;
  if (value === undefined) throw unauthenticated("token-missing", "the call carries no token");
  if (more.length > 0) throw unauthenticated("token-several", "the call carries several tokens");
  if (value.length > LONGEST_TOKEN) throw unauthenticated("token-too-long", "the token is too long");
  const token = /^Bearer ([\x21-\x7e]+)$/.exec(value)?.[1];
  if (token === undefined) throw unauthenticated("token-malformed", "the authorization is no bearer token");
  return token;
}

function unauthenticated(reason: string, message: string, cause?: unknown): Refusal {
  return new Refusal("UNAUTHENTICATED", reason, message, { cause });
}

function denied(reason: string, message: string): Refusal {
  return new Refusal("PERMISSION_DENIED", reason, message);
}
