/**
 * The operator of the benchmark's mesh, a process of its own: two pods, client and server, and nobody else. Prints one line of
 * JSON, `OperatorReady`, when it listens; ends with its namespace.
 */
import { jsonLogger } from "../../src/cli/log.ts";
import { systemClock, systemRandom } from "../../src/cli/system.ts";
import { Authority, parseTrustDomain } from "../../src/identity/index.ts";
import { TokenSigner } from "../../src/local/tokens.ts";
import {
  type EndpointsRecord,
  type Ip,
  MemoryStore,
  objectKey,
  PORTS,
  type PodRecord,
  type ServiceRecord,
  TOKEN_AUDIENCE,
} from "../../src/mesh/index.ts";
import { Operator } from "../../src/operator/index.ts";
import { podRecord } from "../../src/testkit/mesh-records.ts";
import { CLIENT_IP, POD_RANGE, SERVER_IP } from "../addresses.ts";
import type { End } from "../credentials.ts";

export interface OperatorReady {
  /** PEM of the mesh's roots. */
  readonly roots: string;
  readonly pods: Readonly<Record<End, { readonly record: PodRecord; readonly token: string }>>;
}

if (import.meta.main) {
  const pods = new MemoryStore<PodRecord>();
  const clock = systemClock;
  const authority = Authority.create({ trustDomain: parseTrustDomain("cluster.local"), clock, random: systemRandom });
  const signer = new TokenSigner({
    clock,
    podLives: (namespace, name, uid) => pods.get(objectKey(namespace, name))?.uid === uid,
  });
  new Operator({
    authority,
    reviewer: { review: async (token, audience) => signer.tokenReview(token, audience) },
    pods,
    services: new MemoryStore<ServiceRecord>(),
    endpoints: new MemoryStore<EndpointsRecord>(),
    ranges: () => ({ podRanges: [POD_RANGE], serviceRanges: [] }),
    listen: { hosts: ["0.0.0.0"], port: PORTS.operatorGrpc },
    ips: process.argv.slice(2) as Ip[],
    clock,
    logger: jsonLogger("warn", clock),
  });
  const admit = (end: End, ip: string) => {
    const record = podRecord(end, ip, { namespace: "bench", mode: "strict" });
    pods.set(objectKey(record.namespace, record.name), record);
    const { namespace, name: podName, uid: podUid, serviceAccount } = record;
    const subject = { namespace, serviceAccount, podName, podUid };
    return { record, token: signer.issue(subject, TOKEN_AUDIENCE, 24 * 3_600_000).token };
  };
  const ready: OperatorReady = {
    roots: authority.bundle().pem(),
    pods: { client: admit("client", CLIENT_IP), server: admit("server", SERVER_IP) },
  };
  process.stdout.write(`${JSON.stringify(ready)}\n`);
}
