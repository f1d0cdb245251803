/** `tulle proxy`: the sidecar, as the injected container runs it. */
import { Command } from "commander";
import { ENV } from "../mesh/index.ts";

export function proxyCommand(): Command {
  return new Command("proxy")
    .summary("the sidecar (runs in the pod)")
    .description(
      "Carries the pod's TCP connections over mutual TLS. It is configured by the environment that the injector writes " +
        `(${Object.values(ENV).join(", ")}) and ends on SIGTERM or SIGINT within 2 s.`,
    )
    .addHelpText("after", "\nExample:\n  tulle proxy    # in a container that the injector made")
    .action(async () => {
      const { readLogLevel, runProxy } = await import("../proxy/index.ts");
      const { jsonLogger } = await import("./log.ts");
      const { systemClock, systemRandom } = await import("./system.ts");
      const { VERSION } = await import("./version.ts");
      const logger = jsonLogger(readLogLevel(process.env[ENV.logLevel]), systemClock);
      const stop = new AbortController();
      const onSignal = (signal: string) => {
        logger.log("info", "stopping", { signal });
        stop.abort();
      };
      process.once("SIGTERM", onSignal);
      process.once("SIGINT", onSignal);
      try {
        await runProxy(process.env, stop.signal, {
          clock: systemClock,
          random: systemRandom,
          logger,
          version: VERSION,
        });
      } finally {
        process.off("SIGTERM", onSignal);
        process.off("SIGINT", onSignal);
      }
    });
}
