/** Questions to the API server about who someone is and what they may do. */
import type { CallOptions, KubeClient } from "./client.ts";
import type { KubeObject } from "./object.ts";
import { type Resource, resource } from "./resource.ts";

export interface UserInfo {
  readonly username?: string;
  readonly uid?: string;
  readonly groups?: readonly string[];
  readonly extra?: Readonly<Record<string, readonly string[]>>;
}

/** authentication.k8s.io/v1 TokenReview. */
export interface TokenReview extends KubeObject {
  readonly spec: { readonly token: string; readonly audiences?: readonly string[] };
  readonly status?: {
    readonly authenticated?: boolean;
    readonly user?: UserInfo;
    /** The audiences of the question that the token is for. */
    readonly audiences?: readonly string[];
    readonly error?: string;
  };
}

/** authorization.k8s.io/v1 SubjectAccessReview. */
export interface SubjectAccessReview extends KubeObject {
  readonly spec: {
    readonly user?: string;
    readonly uid?: string;
    readonly groups?: readonly string[];
    readonly extra?: Readonly<Record<string, readonly string[]>>;
    readonly resourceAttributes?: ResourceAttributes;
    readonly nonResourceAttributes?: { readonly path: string; readonly verb: string };
  };
  readonly status?: { readonly allowed: boolean; readonly denied?: boolean; readonly reason?: string };
}

export interface ResourceAttributes {
  readonly verb: string;
  readonly group?: string;
  readonly resource: string;
  readonly subresource?: string;
  readonly namespace?: string;
  readonly name?: string;
}

/** authentication.k8s.io/v1 TokenRequest, posted to `serviceaccounts/<name>/token`. */
export interface TokenRequest {
  readonly apiVersion: "authentication.k8s.io/v1";
  readonly kind: "TokenRequest";
  readonly spec: {
    readonly audiences: readonly string[];
    readonly expirationSeconds?: number;
    readonly boundObjectRef?: {
      readonly apiVersion: string;
      readonly kind: string;
      readonly name: string;
      readonly uid?: string;
    };
  };
  readonly status?: { readonly token: string; readonly expirationTimestamp: string };
}

export const TOKEN_REVIEWS: Resource<TokenReview> = resource(
  "authentication.k8s.io/v1",
  "TokenReview",
  "tokenreviews",
  "cluster",
);
export const SUBJECT_ACCESS_REVIEWS: Resource<SubjectAccessReview> = resource(
  "authorization.k8s.io/v1",
  "SubjectAccessReview",
  "subjectaccessreviews",
  "cluster",
);

/**
 * Who holds the token, or undefined when it is not valid for any of the audiences. An authenticator that ignores audiences
 * answers none: such a token is refused, since it may be meant for anyone (TokenReviewStatus.audiences).
 */
export async function reviewToken(
  client: KubeClient,
  token: string,
  audiences: readonly string[],
  options: CallOptions = {},
): Promise<UserInfo | undefined> {
  const { status } = await client.create(TOKEN_REVIEWS, { spec: { token, audiences } }, options);
  const meant = status?.audiences?.some((audience) => audiences.includes(audience)) ?? false;
  return status?.authenticated === true && meant ? status.user : undefined;
}

/** Whether the user may do it. */
export async function reviewAccess(
  client: KubeClient,
  user: UserInfo,
  attributes: ResourceAttributes,
  options: CallOptions = {},
): Promise<boolean> {
  const { username, uid, groups, extra } = user;
  const spec = {
    ...(username === undefined ? {} : { user: username }),
    ...(uid === undefined ? {} : { uid }),
    ...(groups === undefined ? {} : { groups }),
    ...(extra === undefined ? {} : { extra }),
    resourceAttributes: attributes,
  };
  const { status } = await client.create(SUBJECT_ACCESS_REVIEWS, { spec }, options);
  return status?.allowed === true && status.denied !== true;
}

/** A token of a service account for the audiences, as the kubelet asks for one. */
export async function requestToken(
  client: KubeClient,
  account: { readonly namespace: string; readonly name: string },
  spec: TokenRequest["spec"],
  options: CallOptions = {},
): Promise<TokenRequest> {
  const body: TokenRequest = { apiVersion: "authentication.k8s.io/v1", kind: "TokenRequest", spec };
  return client.createUnder(SERVICE_ACCOUNTS, { ...account, subresource: "token" }, body, options);
}

const SERVICE_ACCOUNTS: Resource<KubeObject> = resource("v1", "ServiceAccount", "serviceaccounts");
