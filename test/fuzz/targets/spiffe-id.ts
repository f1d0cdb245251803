/** SPIFFE IDs: one identity has one text, and it is the one that a URL parser leaves as it is. */
import {
  IdentityError,
  parseSpiffeId,
  parseTrustDomain,
  readWorkloadSpiffeId,
  trustDomainId,
  trustDomainOf,
  workloadSpiffeId,
} from "../../../src/identity/index.ts";
import { bytesOf, promise, same, type Target, unlessRefused } from "../target.ts";

const EXAMPLES = [
  "spiffe://cluster.local/ns/shop/sa/web",
  "spiffe://cluster.local",
  "spiffe://a_b-c.d/ns/x/sa/a.b",
  "spiffe://td/...",
  "cluster.local",
];
const refused = (code: string) => (error: unknown) => error instanceof IdentityError && error.code === code;

export const target: Target = {
  examples: EXAMPLES.map(bytesOf),
  longest: 2100,
  tokens: ["spiffe://", "/", "..", "/./", "%2f", "?", "#", "@", ":80", "/ns/", "/sa/", "A", "\\", "xn--"].map(bytesOf),
  run(input) {
    const text = Buffer.from(input).toString("latin1");
    const domain = unlessRefused(() => parseTrustDomain(text), refused("bad-trust-domain"));
    if (domain !== undefined) same(trustDomainOf(trustDomainId(domain)), domain, "a trust domain through its ID");
    const id = unlessRefused(() => parseSpiffeId(text), refused("bad-spiffe-id"));
    if (id === undefined) return;
    same(parseTrustDomain(trustDomainOf(id)), trustDomainOf(id), "the trust domain of an ID");
    const url = new URL(id);
    same(
      url.protocol + url.search + url.hash + url.username + url.password + url.port,
      "spiffe:",
      "nothing but host and path",
    );
    same(`spiffe://${url.host}${url.pathname}`.replace(/\/$/, ""), id, "the ID as URL writes it");
    const workload = readWorkloadSpiffeId(id);
    if (workload === undefined) return;
    const { trustDomain, namespace, serviceAccount } = workload;
    promise(workloadSpiffeId(trustDomain, namespace, serviceAccount) === id, "a workload's ID made of its parts");
  },
};
