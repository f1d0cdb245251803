/**
 * Tulle as pods have it: the rules of `tulle init` in both namespaces, `tulle proxy` as user 1337 without a capability, an
 * operator that both reach by links of their own, tokens, discovery, certificates.
 */
import { chownSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { ENV, IDENTITY_DIRECTORY, PORTS, PROXY_UID, ROOT_CERTIFICATE_FILE, TOKEN_FILE } from "../../src/mesh/index.ts";
import { ROOT, TULLE } from "../../test/support/machine.ts";
import { cable, type NetworkNamespace, type OwnedProcess } from "../../test/support/netns.ts";
import type { End } from "../credentials.ts";
import type { Stage } from "../stage.ts";
import type { Pair } from "./pair.ts";
import type { OperatorReady } from "./tulle-operator.ts";

/** The operator's addresses, each on the link to one end. */
const OPERATOR: Readonly<Record<End, { readonly ip: string; readonly pod: string }>> = {
  client: { ip: "10.250.78.1", pod: "10.250.78.2" },
  server: { ip: "10.250.79.1", pod: "10.250.79.2" },
};
/** A profile is written when the proxy ends. */
const PROFILE_LIMIT_MS = 10_000;

/**
 * Becomes the proxy in the mount namespace that `ip netns exec` made: the identity where the injector mounts it, and the project
 * beside it, since its folder may be closed to the proxy's user.
 */
const CONTAINER = `set -e
mount -t tmpfs -o mode=755 tulle-bench /var/run
mkdir -p "$IDENTITY_DIRECTORY" /var/run/project /var/run/profiles
cp "$IDENTITY_FILES"/* "$IDENTITY_DIRECTORY"
chmod -R a+rX "$IDENTITY_DIRECTORY"
mount --bind "$PROJECT" /var/run/project
if [ -n "$PROFILES" ]; then mount --bind "$PROFILES" /var/run/profiles; fi
cd /
exec setpriv --reuid ${PROXY_UID} --regid ${PROXY_UID} --clear-groups --inh-caps=-all --bounding-set=-all --no-new-privs "$@"`;

export interface TulleOptions {
  /** Runs the proxies from source under Bun's profiler and leaves their CPU profiles in this folder. */
  readonly profiles?: string;
}

export function tulle({ profiles }: TulleOptions = {}): Pair {
  return {
    name: "tulle",
    about: `Tulle, one process each${profiles === undefined ? "" : ", from source under the profiler"}`,
    program: TULLE,
    version: [TULLE, "version"],
    async start(stage) {
      const operator = await startOperator(stage);
      for (const end of [stage.client, stage.server]) await end.run([TULLE, "init"]);
      const run = (end: End, namespace: NetworkNamespace, port: number) =>
        startProxy(stage, { end, namespace, port, operator, profiles });
      const inbound = await run("server", stage.server, PORTS.hbone);
      const outbound = await run("client", stage.client, PORTS.outbound);
      const finish = async () => {
        await checkMeshed(stage);
        if (profiles !== undefined) await Promise.all([endedGracefully(outbound), endedGracefully(inbound)]);
      };
      return { outbound, inbound, finish };
    },
  };
}

async function startOperator(stage: Stage): Promise<OperatorReady> {
  const namespace = stage.namespace("tulle-operator");
  for (const [end, pod] of [
    ["client", stage.client],
    ["server", stage.server],
  ] as const) {
    cable(
      { namespace: pod, device: "eth1", addresses: [`${OPERATOR[end].pod}/30`] },
      { namespace, device: `to-${end}`, addresses: [`${OPERATOR[end].ip}/30`] },
    );
  }
  const program = join(import.meta.dir, "tulle-operator.ts");
  const ips = Object.values(OPERATOR).map(({ ip }) => ip);
  const line = await namespace.spawn([process.execPath, program, ...ips]).line('"roots"');
  return JSON.parse(line) as OperatorReady;
}

interface ProxyOptions {
  readonly end: End;
  readonly namespace: NetworkNamespace;
  /** Where it listens once it takes traffic. */
  readonly port: number;
  readonly operator: OperatorReady;
  readonly profiles: string | undefined;
}

function startProxy(stage: Stage, { end, namespace, port, operator, profiles }: ProxyOptions): Promise<OwnedProcess> {
  const { record, token } = operator.pods[end];
  const identity = join(stage.folder, `identity-${end}`);
  mkdirSync(identity, { recursive: true });
  stage.write(join(`identity-${end}`, TOKEN_FILE), token);
  stage.write(join(`identity-${end}`, ROOT_CERTIFICATE_FILE), operator.roots);
  if (profiles !== undefined) {
    mkdirSync(profiles, { recursive: true });
    chownSync(profiles, PROXY_UID, PROXY_UID);
  }
  return stage.start(namespace, ["sh", "-c", CONTAINER, "container", ...proxyCommand(end, profiles)], port, {
    IDENTITY_DIRECTORY,
    IDENTITY_FILES: identity,
    PROJECT: ROOT,
    PROFILES: profiles ?? "",
    [ENV.podName]: record.name,
    [ENV.podNamespace]: record.namespace,
    [ENV.podUid]: record.uid,
    [ENV.podIps]: record.ips.join(","),
    [ENV.serviceAccount]: record.serviceAccount,
    [ENV.nodeName]: record.node,
    [ENV.operatorAddress]: `${OPERATOR[end].ip}:${PORTS.operatorGrpc}`,
  });
}

/** As the proxy's user finds the programs. */
function proxyCommand(end: End, profiles: string | undefined): string[] {
  if (profiles === undefined) return ["/var/run/project/dist/tulle", "proxy"];
  return [
    "/var/run/project/node_modules/bun/bin/bun.exe",
    "--cpu-prof",
    "--cpu-prof-dir=/var/run/profiles",
    `--cpu-prof-name=${end}-${Date.now()}.cpuprofile`,
    "/var/run/project/src/main.ts",
    "proxy",
  ];
}

/** Throws unless the client's proxy carried what it carried over mutual TLS and nothing else. */
async function checkMeshed(stage: Stage): Promise<void> {
  const metrics = await stage.client.run(["curl", "-sS", `http://127.0.0.1:${PORTS.metrics}/metrics`]);
  const counted = [...metrics.matchAll(/^tulle_connections_total\{direction="outbound",reason="([^"]*)"\} (\d+)$/gm)];
  const reasons = new Map(counted.map(([, reason, count]) => [reason, Number(count)]));
  const plaintext = [...reasons].filter(([reason, count]) => reason?.startsWith("plaintext") === true && count > 0);
  if ((reasons.get("mtls") ?? 0) === 0 || plaintext.length > 0) {
    throw new Error(`not all of Tulle's connections were meshed: ${JSON.stringify(Object.fromEntries(reasons))}`);
  }
}

async function endedGracefully(proxy: OwnedProcess): Promise<void> {
  const late = Bun.sleep(PROFILE_LIMIT_MS).then(() => {
    throw new Error(`a proxy did not end within ${PROFILE_LIMIT_MS} ms, so it left no profile`);
  });
  await Promise.race([proxy.stop("SIGTERM"), late]);
}
