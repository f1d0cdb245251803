/**
 * The mesh of a play: a certificate authority that lives as long as the play, the operator beside the pods, and the
 * injection that a cluster's webhook would do.
 */
import { Authority, parseTrustDomain } from "../../identity/index.ts";
import { applyPatch, type InjectConfig, injectPod, type JsonObject } from "../../inject/index.ts";
import {
  type Clock,
  formatCidr,
  type Ip,
  type Logger,
  OPERATOR_HOST,
  PORTS,
  type Random,
  ROOT_CERTIFICATE_FILE,
} from "../../mesh/index.ts";
import { Operator } from "../../operator/index.ts";
import type { AddressPlan } from "../addresses.ts";
import type { Cluster, PodTemplate } from "../runner/cluster.ts";
import type { ServiceNetwork } from "../runner/services.ts";
import type { TokenSigner } from "../tokens.ts";

export interface LocalMeshOptions {
  readonly trustDomain: string;
  /** Lifetime of workload certificates; the authority's default when undefined. */
  readonly leafLifetime: number | undefined;
  readonly image: string;
  readonly version: string;
  readonly plan: AddressPlan;
  readonly network: ServiceNetwork;
  readonly signer: TokenSigner;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

export class LocalMesh implements Disposable {
  readonly authority: Authority;
  readonly operator: Operator;
  readonly #inject: InjectConfig;

  /** Listens at once on the operator's cluster IPs. Throws IdentityError, OperatorError. */
  constructor(options: LocalMeshOptions) {
    const { clock, random, logger, network, plan, signer } = options;
    this.authority = Authority.create({
      trustDomain: parseTrustDomain(options.trustDomain),
      clock,
      random,
      ...(options.leafLifetime === undefined ? {} : { leafLifetime: options.leafLifetime }),
    });
    const ips: readonly Ip[] = network.usable(plan.operator);
    this.operator = new Operator({
      authority: this.authority,
      reviewer: { review: async (token, audience) => signer.tokenReview(token, audience) },
      pods: network.pods,
      services: network.services,
      endpoints: network.endpointsStore,
      ranges: () => ({
        podRanges: [formatCidr(plan.pods.v4), formatCidr(plan.pods.v6)],
        serviceRanges: [formatCidr(plan.services.v4), formatCidr(plan.services.v6)],
      }),
      listen: { hosts: ips, port: PORTS.operatorGrpc },
      ips,
      clock,
      logger,
    });
    this.#inject = {
      image: options.image,
      version: options.version,
      trustDomain: options.trustDomain,
      operatorAddress: `${OPERATOR_HOST}:${PORTS.operatorGrpc}`,
    };
  }

  /** What a cluster's webhook does to a new pod. Throws InjectError. */
  inject(pod: PodTemplate): PodTemplate {
    const injection = injectPod(pod as unknown as JsonObject, this.#inject);
    return "patch" in injection ? applyPatch(pod, injection.patch) : pod;
  }

  /** Writes the bundle into every namespace, as the operator does on a cluster. */
  publish(cluster: Cluster): void {
    cluster.setTrustBundle(ROOT_CERTIFICATE_FILE, this.authority.bundle().pem());
  }

  [Symbol.dispose](): void {
    this.operator[Symbol.dispose]();
  }
}
