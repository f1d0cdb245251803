/** `tulle operator`: the operator on Kubernetes, as the chart's Deployment runs it. */
import { Command } from "commander";
import type { ClusterFlags } from "../cluster/index.ts";
import { DEFAULT_IMAGE_REPOSITORY } from "../mesh/index.ts";
import { VERSION } from "./version.ts";

export function operatorCommand(): Command {
  return new Command("operator")
    .summary("the operator on Kubernetes (runs in the cluster)")
    .description(
      "Makes and guards the mesh's authority, issues certificates, injects new pods, tells the proxies who is where. Any\n" +
        "number of replicas may run; one of them leads. Outside of a pod it follows KUBECONFIG.",
    )
    .option("--trust-domain <name>", "of every identity", "cluster.local")
    .option("--mode <mode>", "plaintext in namespaces that do not say: strict or permissive", "permissive")
    .option("--leaf-lifetime <duration>", "of the pods' certificates, such as 24h or 90m", "24h")
    .option("--image <image>", "of init container and sidecar", `${DEFAULT_IMAGE_REPOSITORY}:${VERSION}`)
    .option("--pod-cidrs <ranges>", "where pods are; default: what the nodes say")
    .option("--service-cidrs <ranges>", "where Services are; default: what the cluster says")
    .option("--legacy-iptables", "nodes have legacy iptables only: the init container gets NET_RAW")
    .option("--allow-eviction", "evict pods that should be meshed and are not, if a controller makes them again")
    .option("--log-level <level>", "error, warn, info or debug", "info")
    .addHelpText(
      "after",
      "\nExample:\n  tulle operator --mode strict    # in the Deployment that `tulle install` makes",
    )
    .action(async (flags: ClusterFlags) => {
      const { readClusterConfig, runClusterOperator } = await import("../cluster/index.ts");
      const { connect, KubeClient } = await import("../kube/index.ts");
      const { jsonLogger } = await import("./log.ts");
      const { systemClock, systemRandom } = await import("./system.ts");
      const config = readClusterConfig(flags, process.env);
      const logger = jsonLogger(config.logLevel, systemClock);
      const stop = new AbortController();
      const onSignal = (signal: string) => {
        logger.log("info", "stopping", { signal });
        stop.abort();
      };
      process.once("SIGTERM", onSignal);
      process.once("SIGINT", onSignal);
      const connection = await connect({ env: process.env });
      const client = new KubeClient({ connection, clock: systemClock, agent: `tulle-operator/${VERSION}` });
      const deps = { client, clock: systemClock, random: systemRandom, logger, version: VERSION };
      await runClusterOperator(config, deps, stop.signal);
      // Watches that are on their way out must not hold the process.
      process.exit(0);
    });
}
