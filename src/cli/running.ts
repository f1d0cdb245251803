/** The commands against a running play: get, logs, exec, apply, delete, stop. */
import { Command, InvalidArgumentError, Option } from "commander";
import {
  CRUN,
  cleanLeftOver,
  LocalError,
  liveRunner,
  PlayClient,
  type PodStatus,
  readyColumn,
  restartsOf,
  type Snapshot,
  statePaths,
  statusColumn,
  troubles,
} from "../local/index.ts";
import { readManifests } from "./play.ts";
import { type Row, table, wrapped } from "./text.ts";
import { VERSION } from "./version.ts";

const DEFAULT_NAMESPACE = "default";
const STOP_WAIT_MILLIS = 90_000;
const STOP_POLL_MILLIS = 50;
const NO_ANSWER: ReadonlySet<string> = new Set(["starting", "no-answer"]);

interface Scope {
  readonly namespace: string;
}

interface GetOptions extends Scope {
  readonly allNamespaces?: true;
  readonly output: "table" | "json";
}

/** `tulle get pods|services|deployments|namespaces`. */
export function listCommand(): Command {
  return scoped(new Command("get"))
    .summary("list what a running play holds")
    .argument("<what>", "pods, services, deployments or namespaces", kindOf)
    .argument("[name]", "one object alone")
    .option("-A, --all-namespaces", "of every namespace")
    .addOption(new Option("-o, --output <form>", "how to print it").choices(["table", "json"]).default("table"))
    .addHelpText("after", "\nExample:\n  tulle get pods -A")
    .action(async (what: Kind, name: string | undefined, options: GetOptions) => {
      const snapshot = await (await PlayClient.find(process.env)).snapshot();
      const everywhere = options.allNamespaces === true || what === "namespaces";
      const found = listed(what, snapshot).filter(
        (one) => (everywhere || one.namespace === options.namespace) && (name === undefined || one.name === name),
      );
      if (name !== undefined && found.length === 0) {
        throw new LocalError(
          "not-found",
          `there is no ${what.slice(0, -1)} ${name} in ${everywhere ? "any namespace" : options.namespace}`,
          {
            hint: `see \`tulle get ${what} -A\``,
          },
        );
      }
      if (options.output === "json") {
        process.stdout.write(
          `${JSON.stringify(
            found.map((one) => one.json),
            null,
            2,
          )}\n`,
        );
      } else if (found.length === 0) {
        process.stderr.write(`no ${what}${everywhere ? "" : ` in namespace ${options.namespace}`}\n`);
      } else {
        const withNamespace = everywhere && what !== "namespaces";
        const head = withNamespace ? ["NAMESPACE", ...HEADS[what]] : HEADS[what];
        const rows = found.map((one) => (withNamespace ? [one.namespace, ...one.row] : one.row));
        process.stdout.write(table([head, ...rows]));
        for (const one of found) {
          for (const why of one.troubles ?? []) process.stderr.write(`! ${wrapped(`${one.name}: ${why}`, 2)}\n`);
        }
      }
    });
}

/** `tulle logs POD`. */
export function logsCommand(): Command {
  return scoped(new Command("logs"))
    .summary("print what a container wrote")
    .description(
      "Prints what a container of a pod wrote: its standard output and standard error, the last 8 MiB. `deployment/NAME` is one of\n" +
        "its pods; the operator is pod tulle-operator of namespace tulle-system.",
    )
    .argument("<pod>", "a pod, or deployment/NAME")
    .option("-c, --container <name>", "which container; may be left out when there is one")
    .option("-f, --follow", "wait for the container, and go on until it ends")
    .option("-p, --previous", "of the run before this one")
    .option("--tail <lines>", "the last lines alone", wholeNumber)
    .addHelpText("after", "\nExamples:\n  tulle logs app -c tulle-init\n  tulle logs -f --tail 20 deployment/web")
    .action(
      async (pod: string, options: Scope & { container?: string; follow?: true; previous?: true; tail?: number }) => {
        const { namespace, container, tail } = options;
        const follow = options.follow === true;
        const previous = options.previous === true;
        const client = await PlayClient.find(process.env);
        for await (const chunk of client.logs({ namespace, pod, container, tail, follow, previous }))
          process.stdout.write(chunk);
      },
    );
}

/** `tulle exec POD -- COMMAND`, and `tulle exec --node -- COMMAND` for the node itself. */
export function execCommand(): Command {
  return scoped(new Command("exec"))
    .summary("run a command in a container of a running play")
    .argument("<words...>", "POD, then after -- the command")
    .option("-c, --container <name>", "which container; may be left out when there is one")
    .option("--node", "in the node's own namespaces, where the pods' network and rules are seen")
    .addHelpText(
      "after",
      "\nExamples:\n  tulle exec web -c app -- cat /etc/resolv.conf\n  tulle exec --node -- ip route",
    )
    .action(async (words: string[], options: Scope & { container?: string; node?: true }) => {
      const client = await PlayClient.find(process.env);
      const [pod = "", ...command] = options.node === true ? ["", ...words] : words;
      if (command.length === 0) {
        throw new LocalError("no-command", "there is no command to run", {
          exitCode: 2,
          hint: "tulle exec POD -c CONTAINER -- COMMAND",
        });
      }
      const enter = ["nsenter", "-t", String(client.record.nodePid), "--net", "--mount", "--pid", "--"];
      if (options.node !== true) {
        const { containerId, flags } = await client.execTarget(options.namespace, pod, options.container);
        const tty = process.stdin.isTTY === true && process.stdout.isTTY === true ? ["--tty"] : [];
        enter.push(...CRUN, "exec", ...tty, ...flags, containerId);
      }
      const child = Bun.spawn([...enter, ...command], { stdio: ["inherit", "inherit", "inherit"] });
      const code = await child.exited;
      process.exitCode =
        code === CRUN_FAILED && options.node !== true ? await whyNotRun(enter, command[0] ?? "") : code;
    });
}

/** crun's exit code for a command that it could not start; a command may end with it as well. */
const CRUN_FAILED = 255;

/** The exit code of a shell: 127 when there is no such command, 126 when it cannot be run. */
async function whyNotRun(enter: readonly string[], command: string): Promise<number> {
  const words = enter.filter((word) => word !== "--tty");
  const script =
    'p=$(command -v -- "$1") || p=$1; case "$p" in /*) ;; *) exit 127 ;; esac; [ -e "$p" ] || exit 127; [ -f "$p" ] && [ -x "$p" ] || exit 126';
  const asked = Bun.spawn([...words, "sh", "-c", script, "sh", command], { stdio: ["ignore", "ignore", "ignore"] });
  const code = await asked.exited;
  return code === 0 ? CRUN_FAILED : code;
}

/** `tulle apply -f FILE`. */
export function applyCommand(): Command {
  return new Command("apply")
    .summary("add or change objects of a running play")
    .description(
      "Makes what is new, changes what differs, and replaces the pods that it must. One wrong object, and nothing is changed.",
    )
    .requiredOption("-f, --filename <file...>", "manifests; - for standard input")
    .addHelpText("after", "\nExample:\n  tulle apply -f more.yaml")
    .action(async ({ filename }: { filename: string[] }) => {
      const client = await PlayClient.find(process.env);
      const { results, notices } = await client.apply({ files: await readManifests(filename) });
      for (const notice of notices) process.stderr.write(`! ${notice}\n`);
      tellResults(results);
    });
}

/** `tulle delete -f FILE`, `tulle delete pod NAME`. */
export function deleteCommand(): Command {
  return scoped(new Command("delete"))
    .summary("delete objects of a running play")
    .description(
      "Deletes one object by its kind and name, or all objects of manifests, and their pods; answers when they are gone.",
    )
    .argument("[kind]", "pod, deployment, service, …")
    .argument("[name]")
    .option("-f, --filename <file...>", "the objects of these manifests")
    .option("--grace-period <seconds>", "how long containers may take to end", wholeNumber)
    .option("--ignore-not-found", "objects that are not there are no error")
    .addHelpText(
      "after",
      "\nExamples:\n  tulle delete deployment web -n demo\n  tulle delete -f more.yaml --ignore-not-found",
    )
    .action(
      async (
        kind: string | undefined,
        name: string | undefined,
        options: Scope & { filename?: string[]; gracePeriod?: number; ignoreNotFound?: true },
        command: Command,
      ) => {
        const { filename, namespace, gracePeriod } = options;
        if (filename === undefined ? kind === undefined || name === undefined : kind !== undefined) {
          throw new LocalError("what-to-delete", "name a kind and an object, or files with -f", {
            exitCode: 2,
            hint: "tulle delete pod NAME, or tulle delete -f FILE",
          });
        }
        if (filename !== undefined && command.getOptionValueSource("namespace") === "cli") {
          throw new LocalError("what-to-delete", "-n is for one object: the manifests say their own namespaces", {
            exitCode: 2,
            hint: "tulle delete KIND NAME -n NAMESPACE, or tulle delete -f FILE",
          });
        }
        const what =
          filename === undefined
            ? { object: { kind: objectKind(kind ?? ""), namespace, name: name ?? "" } }
            : { files: await readManifests(filename) };
        const grace = gracePeriod === undefined ? {} : { grace: gracePeriod * 1000 };
        const { results, notFound } = await (await PlayClient.find(process.env)).delete({ ...what, ...grace });
        tellResults(results);
        if (notFound.length > 0 && options.ignoreNotFound !== true) {
          throw new LocalError("not-found", notFound.join("; "), { hint: "see `tulle get pods -A`" });
        }
      },
    );
}

/** `tulle stop`: answers when nothing of the play is left. */
export function stopCommand(): Command {
  const stop = new Command("stop")
    .summary("end the running play, or clean up after a killed one")
    .description("Ends every pod within its grace, then the node. Answers when nothing is left on the machine.")
    .addHelpText("after", "\nExample:\n  tulle stop");
  return stop.action(async () => {
    const paths = statePaths(process.env);
    if (liveRunner(paths) === undefined && cleanLeftOver(paths, VERSION) !== undefined) {
      return void process.stdout.write("the play had been killed; what it left is gone\n");
    }
    const pid = liveRunner(paths)?.pid;
    try {
      await (await PlayClient.find(process.env, { wait: false })).stop();
    } catch (error) {
      if (pid === undefined || !(error instanceof LocalError) || !NO_ANSWER.has(error.code)) throw error;
      // It is starting, or its node hangs: its first process takes a signal as well.
      process.kill(pid, "SIGTERM");
    }
    for (const until = Date.now() + STOP_WAIT_MILLIS; Date.now() < until; await Bun.sleep(STOP_POLL_MILLIS)) {
      // Not `kill -0`: a process whose parent has not noticed its end yet still has its number.
      if (liveRunner(paths)?.pid !== pid) return void process.stdout.write("stopped; nothing is left\n");
    }
    throw new LocalError(
      "still-stopping",
      `the play (process ${pid}) has not ended after ${STOP_WAIT_MILLIS / 1000} s`,
      {
        hint: `kill -9 ${pid} ends it at once and leaves nothing either`,
      },
    );
  });
}

const KINDS = ["pods", "services", "deployments", "namespaces"] as const;
type Kind = (typeof KINDS)[number];
const SHORT: Readonly<Record<string, Kind>> = { po: "pods", svc: "services", deploy: "deployments", ns: "namespaces" };
const HEADS: Readonly<Record<Kind, Row>> = {
  pods: ["NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP"],
  services: ["NAME", "CLUSTER-IP", "PORTS", "ENDPOINTS", "AGE"],
  deployments: ["NAME", "READY", "AGE"],
  namespaces: ["NAME", "AGE"],
};

interface Listed {
  readonly namespace: string;
  readonly name: string;
  readonly row: Row;
  readonly json: object;
  /** Why it is not as it should be, a sentence each. */
  readonly troubles?: readonly string[];
}

function listed(what: Kind, snapshot: Snapshot): readonly Listed[] {
  const age = (createdAt: number): string => ageOf(snapshot.now - createdAt);
  switch (what) {
    case "pods":
      return snapshot.pods.map((pod) => {
        const view = { ...pod, status: statusColumn(pod), restarts: restartsOf(pod) };
        const row = [pod.name, readyColumn(pod), view.status, String(view.restarts), age(pod.createdAt), firstIp(pod)];
        return {
          namespace: pod.namespace,
          name: pod.name,
          row,
          json: view,
          troubles: pod.terminating ? [] : troubles(pod),
        };
      });
    case "services":
      return snapshot.services.map((one) => {
        const ports = one.ports.map((port) => `${port.port}/${port.protocol}`).join(",");
        const row = [one.name, one.clusterIps[0] ?? "None", ports, String(one.readyPods), age(one.createdAt)];
        return { namespace: one.namespace, name: one.name, row, json: one };
      });
    case "deployments":
      return snapshot.deployments.map((one) => {
        const row = [one.name, `${one.ready}/${one.replicas}`, age(one.createdAt)];
        return { namespace: one.namespace, name: one.name, row, json: one };
      });
    case "namespaces":
      return snapshot.namespaces.map((one) => ({
        namespace: "",
        name: one.name,
        row: [one.name, age(one.createdAt)],
        json: one,
      }));
  }
}

function firstIp(pod: PodStatus): string {
  return pod.ips[0] ?? "";
}

function scoped(command: Command): Command {
  return command.option("-n, --namespace <name>", "namespace", DEFAULT_NAMESPACE);
}

function kindOf(text: string): Kind {
  const word = text.toLowerCase();
  const kind = SHORT[word] ?? KINDS.find((one) => one === word || one.slice(0, -1) === word);
  if (kind !== undefined) return kind;
  throw new LocalError("unknown-kind", `tulle get does not list ${text}`, {
    exitCode: 2,
    hint: `It lists ${KINDS.join(", ")}.`,
  });
}

/** The kinds that can be deleted by name, as they are written, with kubectl's short forms. */
const OBJECT_KINDS: Readonly<Record<string, string>> = {
  pod: "Pod",
  po: "Pod",
  deployment: "Deployment",
  deploy: "Deployment",
  service: "Service",
  svc: "Service",
  configmap: "ConfigMap",
  cm: "ConfigMap",
  serviceaccount: "ServiceAccount",
  sa: "ServiceAccount",
  namespace: "Namespace",
  ns: "Namespace",
};

function objectKind(text: string): string {
  const word = text.toLowerCase();
  const kind = OBJECT_KINDS[word] ?? OBJECT_KINDS[word.replace(/s$/, "")];
  if (kind !== undefined) return kind;
  const known = [...new Set(Object.values(OBJECT_KINDS))].map((one) => one.toLowerCase()).join(", ");
  throw new LocalError("unknown-kind", `there is no kind ${text}`, { exitCode: 2, hint: `It is one of ${known}.` });
}

function wholeNumber(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError("It is a whole number.");
  return Number(text);
}

function tellResults(
  results: readonly { readonly kind: string; readonly name: string; readonly outcome: string }[],
): void {
  for (const { kind, name, outcome } of results) process.stdout.write(`${kind.toLowerCase()}/${name} ${outcome}\n`);
}

function ageOf(millis: number): string {
  const seconds = Math.max(0, Math.floor(millis / 1000));
  if (seconds < 120) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  return minutes < 120 ? `${minutes}m` : `${Math.floor(minutes / 60)}h`;
}
