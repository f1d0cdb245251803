/** Tokens reviewed by the API server that issued them (TokenReview, authentication.k8s.io/v1). */
import { type KubeClient, TOKEN_REVIEWS } from "../kube/index.ts";
import type { TokenReview, TokenReviewer } from "../operator/index.ts";

/** Keys of `status.user.extra` (KEP-1205, KEP-4193). */
const POD_NAME = "authentication.kubernetes.io/pod-name";
const POD_UID = "authentication.kubernetes.io/pod-uid";
const NODE_NAME = "authentication.kubernetes.io/node-name";

export function clusterTokenReviewer(client: KubeClient): TokenReviewer {
  return {
    async review(token, audience): Promise<TokenReview> {
      const { status } = await client.create(TOKEN_REVIEWS, { spec: { token, audiences: [audience] } });
      if (status?.authenticated !== true || (status.error ?? "") !== "") {
        return { authenticated: false, error: "the API server does not believe the token" };
      }
      const extra = status.user?.extra ?? {};
      return {
        authenticated: true,
        // An authenticator that knows no audiences answers none: the caller then refuses.
        audiences: status.audiences ?? [],
        username: status.user?.username ?? "",
        groups: status.user?.groups ?? [],
        podName: extra[POD_NAME]?.[0],
        podUid: extra[POD_UID]?.[0],
        nodeName: extra[NODE_NAME]?.[0],
      };
    },
  };
}
