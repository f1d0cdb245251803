/** `tulle play FILE…`: runs the pods of a manifest on this machine, and the hidden command that is its inner half. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Command, InvalidArgumentError, Option } from "commander";
import {
  checkRoot,
  type EgressChoice,
  formatProblem,
  LocalError,
  linesOf,
  machineRoutes,
  type NodeConfig,
  type OwnImage,
  type PlayEvent,
  parseManifests,
  planAddresses,
  podCapacity,
  runInner,
  supervise,
} from "../local/index.ts";
import { DEFAULT_IMAGE_REPOSITORY, DEFAULT_TRUST_DOMAIN, formatCidr, type Mode } from "../mesh/index.ts";
import { PlayScreen } from "./play-screen.ts";
import { isCompiled, selfCommand } from "./self.ts";
import { systemClock, systemRandom } from "./system.ts";
import { VERSION } from "./version.ts";

interface PlayOptions {
  readonly inject: boolean;
  readonly egress: EgressChoice;
  readonly mode: Mode;
  readonly detach?: true;
  readonly waitTimeout: number;
  readonly podCidr?: string;
  readonly serviceCidr?: string;
  readonly background?: true;
}

const OWN_IMAGE = `${DEFAULT_IMAGE_REPOSITORY}:${VERSION}`;
const DETACHED_WAIT_SECONDS = 120;

export function playCommand(): Command {
  return new Command("play")
    .summary("run the pods of a manifest on this machine, meshed")
    .description(
      "Runs the pods of Kubernetes manifests on this machine: each pod in network namespaces of its own, meshed as on a\n" +
        "cluster. An image stands for this machine's own root file system (a throw-away copy of it): there is no registry.\n" +
        "Everything is gone when it ends.",
    )
    .argument("<file...>", "manifests, YAML or JSON; - for standard input")
    .option("--no-inject", "leave the pods as they are: no sidecar, no mesh")
    .addOption(
      new Option("--mode <mode>", "plaintext that reaches a meshed pod")
        .choices(["strict", "permissive"])
        .default("permissive"),
    )
    .addOption(
      new Option("--egress <way>", "whether pods reach outside of this machine")
        .choices(["auto", "none"])
        .default("auto"),
    )
    .option("-d, --detach", "return once every pod is ready, and leave it running")
    .option("--wait-timeout <seconds>", "how long --detach waits for the pods", wholeNumber, DETACHED_WAIT_SECONDS)
    .option("--pod-cidr <ranges>", "addresses of pods, such as 10.1.0.0/24 or 10.1.0.0/24,fd00:1::/112")
    .option("--service-cidr <ranges>", "addresses of Services")
    .addOption(new Option("--background").hideHelp())
    .addHelpText(
      "after",
      "\nExample:\n  tulle play app.yaml\n  tulle get pods        (in another terminal)\n\nNeeds root.",
    )
    .action(async (files: string[], options: PlayOptions) => {
      process.exitCode = await play(files, options);
    });
}

/** The node's half, started by `play` in namespaces of its own. */
export function innerCommand(): Command {
  return new Command("inner").summary("the local node (started by play)").action(async () => {
    const tell = (event: PlayEvent) => void process.stdout.write(`${JSON.stringify(event)}\n`);
    const code = await runInner({
      clock: systemClock,
      random: systemRandom,
      input: Bun.stdin.stream(),
      tell,
      env: process.env,
    });
    process.exit(code);
  });
}

/** As `play --background`, the half of `--detach` that stays, takes them from standard input: what was read, with its names. */
type ManifestFiles = readonly { readonly name: string; readonly text: string }[];

/** Reads manifests, `-` from standard input. Throws LocalError `unreadable-file` (exit code 2). */
export async function readManifests(files: readonly string[]): Promise<ManifestFiles> {
  return Promise.all(
    files.map(async (name) => {
      if (name === "-") return { name: "standard input", text: await Bun.stdin.text() };
      try {
        return { name, text: readFileSync(name, "utf8") };
      } catch (error) {
        const missing = (error as NodeJS.ErrnoException).code === "ENOENT";
        const why = missing ? "there is no such file" : error instanceof Error ? error.message : String(error);
        throw new LocalError("unreadable-file", `${name} cannot be read: ${why}`, { exitCode: 2 });
      }
    }),
  );
}

async function play(files: readonly string[], options: PlayOptions): Promise<number> {
  checkRoot();
  const read = options.background === true ? ((await Bun.stdin.json()) as ManifestFiles) : await readManifests(files);
  const { podCidr, serviceCidr } = options;
  const wanted = {
    ...(podCidr === undefined ? {} : { podCidr }),
    ...(serviceCidr === undefined ? {} : { serviceCidr }),
  };
  const plan = planAddresses(wanted, await machineRoutes());
  const manifest = parseManifests(read, { podLimit: podCapacity(plan) });
  if (manifest.objects.length === 0) {
    const names = read.map((file) => file.name).join(", ");
    throw new LocalError("nothing-to-play", `there is no object in ${names}`, {
      exitCode: 2,
      hint: "a manifest holds at least one Pod or Deployment; see examples/app.yaml",
    });
  }
  if (options.detach === true) return detach(read, options);
  const pair = (ranges: typeof plan.pods) => `${formatCidr(ranges.v4)},${formatCidr(ranges.v6)}`;
  const config: Omit<NodeConfig, "version" | "stateDirectory" | "egress"> = {
    objects: manifest.objects,
    inject: options.inject,
    mode: options.mode,
    trustDomain: DEFAULT_TRUST_DOMAIN,
    ownImage: ownImage(),
    podCidr: pair(plan.pods),
    serviceCidr: pair(plan.services),
  };
  const stop = new AbortController();
  const force = new AbortController();
  const interrupted = () => {
    if (stop.signal.aborted) force.abort();
    stop.abort();
  };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, interrupted);
  // A play outlives the terminal or pipe that it wrote to: its pods are not the reader's.
  process.stdout.removeAllListeners("error").on("error", () => undefined);
  const screen = options.background === true ? undefined : new PlayScreen(process.stdout, { detached: false });
  const tell =
    screen === undefined
      ? (event: PlayEvent) => void process.stdout.write(`${JSON.stringify(event)}\n`)
      : (event: PlayEvent) => screen.show(event);
  for (const notice of manifest.notices) tell({ type: "notice", text: formatProblem(notice) });
  const code = await supervise({
    version: VERSION,
    env: process.env,
    innerCommand: [...selfCommand(), "inner"],
    config,
    egress: options.egress,
    tell,
    signal: stop.signal,
    force: force.signal,
  });
  screen?.stopped();
  return code;
}

/** Starts the same play as a process of its own session and follows it until it is ready. */
async function detach(read: ManifestFiles, options: PlayOptions): Promise<number> {
  const words = ["play", "--background", "--mode", options.mode, "--egress", options.egress];
  if (!options.inject) words.push("--no-inject");
  if (options.podCidr !== undefined) words.push("--pod-cidr", options.podCidr);
  if (options.serviceCidr !== undefined) words.push("--service-cidr", options.serviceCidr);
  const child = Bun.spawn(["setsid", ...selfCommand(), ...words, "-"], {
    stdin: new TextEncoder().encode(JSON.stringify(read)),
    stdout: "pipe",
    stderr: "pipe",
  });
  // Who gives up waiting for it does not want it.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => child.kill("SIGTERM"));
  const screen = new PlayScreen(process.stdout, { detached: true });
  const complaint = new Response(child.stderr).text();
  const timeout = setTimeout(() => {
    process.stderr.write(
      `tulle: not every pod is ready after ${options.waitTimeout} s; it goes on running\n${screen.unsettled()}` +
        "  see `tulle get pods -A`, end it with `tulle stop`\n",
    );
    process.exit(1);
  }, options.waitTimeout * 1000);
  for await (const line of linesOf(child.stdout)) {
    const event = JSON.parse(line) as PlayEvent;
    screen.show(event);
    if (event.type === "ready") process.exit(0);
  }
  clearTimeout(timeout);
  process.stderr.write(await complaint);
  return (await child.exited) === 2 ? 2 : 1;
}

/** The mesh's image is this very program: the binary, or bun with the source beside it. */
function ownImage(): OwnImage {
  if (isCompiled()) {
    const binary = { source: process.execPath, destination: "/usr/local/bin/tulle", readOnly: true };
    return { name: OWN_IMAGE, mounts: [binary], wrapper: undefined };
  }
  const source = fileURLToPath(new URL("../..", import.meta.url)).replace(/\/$/, "");
  return {
    name: OWN_IMAGE,
    mounts: [
      { source: process.execPath, destination: "/usr/local/lib/tulle/bun", readOnly: true },
      { source, destination: "/usr/local/lib/tulle/source", readOnly: true },
    ],
    wrapper: '#!/bin/sh\nexec /usr/local/lib/tulle/bun /usr/local/lib/tulle/source/src/main.ts "$@"\n',
  };
}

function wholeNumber(text: string): number {
  if (!/^\d{1,6}$/.test(text)) throw new InvalidArgumentError("it must be a whole number of seconds.");
  return Number(text);
}
