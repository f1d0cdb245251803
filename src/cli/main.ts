/** The command table: one line a command, each loaded lazily so that `tulle proxy` carries nothing of the others. */
import { Command, CommanderError } from "commander";
import { TulleError } from "../mesh/index.ts";
import { printError } from "./fail.ts";
import { VERSION } from "./version.ts";

interface CommandEntry {
  readonly summary: string;
  readonly load: () => Promise<Command>;
  /** For machines: left out of the help. */
  readonly hidden?: true;
}

const COMMANDS: Readonly<Record<string, CommandEntry>> = {
  demo: {
    summary: "show the mesh at work on this machine",
    load: async () => (await import("./demo.ts")).demoCommand(),
  },
  init: {
    summary: "write the pod's iptables rules (runs in the init container)",
    load: async () => (await import("./init.ts")).initCommand(),
  },
  proxy: {
    summary: "the sidecar (runs in the pod)",
    load: async () => (await import("./proxy.ts")).proxyCommand(),
  },
  operator: {
    summary: "the operator on Kubernetes (runs in the cluster)",
    load: async () => (await import("./operator.ts")).operatorCommand(),
  },
  inject: {
    summary: "add the sidecar to the pods of a manifest",
    load: async () => (await import("./inject.ts")).injectCommand(),
  },
  uninject: {
    summary: "take the sidecar out of the pods of a manifest",
    load: async () => (await import("./uninject.ts")).uninjectCommand(),
  },
  install: {
    summary: "put the operator into a cluster",
    load: async () => (await import("./install.ts")).installCommand(),
  },
  upgrade: {
    summary: "bring the operator to this version, or to other values",
    load: async () => (await import("./upgrade.ts")).upgradeCommand(),
  },
  uninstall: {
    summary: "take Tulle out of a cluster",
    load: async () => (await import("./uninstall.ts")).uninstallCommand(),
  },
  check: {
    summary: "is the mesh well, and if not, what to do",
    load: async () => (await import("./check.ts")).checkCommand(),
  },
  status: {
    summary: "who is in the mesh, who is not, and why",
    load: async () => (await import("./status.ts")).statusCommand(),
  },
  play: {
    summary: "run a manifest on this machine, each pod in namespaces of its own",
    load: async () => (await import("./play.ts")).playCommand(),
  },
  get: {
    summary: "list what a running play holds",
    load: async () => (await import("./running.ts")).listCommand(),
  },
  logs: {
    summary: "print what a container wrote",
    load: async () => (await import("./running.ts")).logsCommand(),
  },
  exec: {
    summary: "run a command in a container of a running play",
    load: async () => (await import("./running.ts")).execCommand(),
  },
  apply: {
    summary: "add or change objects of a running play",
    load: async () => (await import("./running.ts")).applyCommand(),
  },
  delete: {
    summary: "delete objects of a running play",
    load: async () => (await import("./running.ts")).deleteCommand(),
  },
  rotate: {
    summary: "make every proxy take a new certificate with a new key",
    load: async () => (await import("./rotate.ts")).rotateCommand(),
  },
  stop: {
    summary: "end the running play and clean up after a killed one",
    load: async () => (await import("./running.ts")).stopCommand(),
  },
  inner: {
    summary: "the local node (started by play)",
    load: async () => (await import("./play.ts")).innerCommand(),
    hidden: true,
  },
  version: {
    summary: "print the version",
    load: async () => (await import("./version.ts")).versionCommand(),
  },
};

/**
 * Runs one command line. Answers the exit code: 0 ok, 1 found a problem, 2 wrong use.
 * A TulleError is printed with its hint; anything else is a defect and is printed with its stack.
 */
export async function main(args: readonly string[]): Promise<number> {
  const program = new Command("tulle")
    .description("Tulle: mutual TLS between every two pods, without a change to the application.")
    .version(VERSION, "-V, --version")
    .showHelpAfterError("(see --help)")
    .enablePositionalOptions()
    .exitOverride();
  const word = args[0];
  const wanted = word === "help" ? args[1] : word;
  try {
    if (word === "help" && wanted !== undefined && !Object.hasOwn(COMMANDS, wanted)) {
      throw new TulleError("unknown-command", `there is no command ${wanted}`, {
        exitCode: 2,
        hint: "see tulle --help",
      });
    }
    for (const [name, entry] of Object.entries(COMMANDS)) {
      const command = name === wanted ? await entry.load() : new Command(name).summary(entry.summary);
      if (name === wanted && command.summary() === "") command.summary(entry.summary);
      inheritExit(command);
      program.addCommand(command, { hidden: entry.hidden === true });
    }
    await program.parseAsync(args, { from: "user" });
    return Number(process.exitCode ?? 0);
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    return printError(error);
  }
}

/** Makes a command and its sub-commands throw instead of ending the process. */
function inheritExit(command: Command): void {
  command.exitOverride().showHelpAfterError("(see --help)");
  for (const child of command.commands) inheritExit(child);
}
