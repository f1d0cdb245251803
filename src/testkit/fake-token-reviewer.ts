/** A reviewer that knows the tokens which a test gave out. */
import type { PodRecord } from "../mesh/index.ts";
import type { TokenReview, TokenReviewer } from "../operator/index.ts";

type Accepted = Extract<TokenReview, { readonly authenticated: true }>;

export class FakeTokenReviewer implements TokenReviewer {
  /** Nobody can be asked while it is true. */
  down = false;
  readonly asked: { readonly token: string; readonly audience: string }[] = [];
  readonly #known = new Map<string, TokenReview>();
  #count = 0;

  /** A token that is bound to the pod, with what the test changes of its review. */
  tokenOf(pod: PodRecord, changes: Partial<Accepted> = {}): string {
    return this.token({
      authenticated: true,
      audiences: ["tulle-ca"],
      username: `system:serviceaccount:${pod.namespace}:${pod.serviceAccount}`,
      groups: ["system:serviceaccounts", `system:serviceaccounts:${pod.namespace}`, "system:authenticated"],
      podName: pod.name,
      podUid: pod.uid,
      nodeName: pod.node,
      ...changes,
    });
  }

  /** A token of which this is said. */
  token(review: TokenReview): string {
    const token = `token-${++this.#count}`;
    this.#known.set(token, review);
    return token;
  }

  async review(token: string, audience: string): Promise<TokenReview> {
    this.asked.push({ token, audience });
    if (this.down) throw new Error("dial tcp 10.96.0.1:443: connection refused");
    return this.#known.get(token) ?? { authenticated: false, error: "[invalid bearer token, Token is unknown]" };
  }
}
