/** Whether this machine can run a play: rights, tools, and in a scratch namespace what the kernel must be able to do. */
import { LocalError } from "../errors.ts";
import { TOOL_PATH, tryTool } from "../node/tool.ts";

/** Programs that a play needs, and the Debian package of each. */
const TOOLS: Readonly<Record<string, string>> = {
  unshare: "util-linux",
  nsenter: "util-linux",
  setpriv: "util-linux",
  setsid: "util-linux",
  mount: "mount",
  umount: "mount",
  mkfifo: "coreutils",
  ip: "iproute2",
  iptables: "iptables",
  "iptables-restore": "iptables",
  ip6tables: "iptables",
  "ip6tables-restore": "iptables",
  crun: "crun",
};

const IN_A_CONTAINER = "inside a container, start that with --privileged; elsewhere use root of the machine";

/** Throws LocalError `not-root`. */
export function checkRoot(): void {
  if (process.getuid?.() === 0) return;
  throw new LocalError("not-root", "play makes network namespaces and runs containers, and that needs root", {
    hint: `run it as root: sudo tulle play …`,
  });
}

/** Throws LocalError `tools-missing` that names each missing tool and the package to install. */
export function checkTools(): void {
  const missing = Object.keys(TOOLS).filter((tool) => Bun.which(tool, { PATH: TOOL_PATH }) === null);
  if (missing.length === 0) return;
  const packages = [...new Set(missing.map((tool) => TOOLS[tool] as string))];
  throw new LocalError("tools-missing", `this machine lacks ${missing.join(", ")}`, {
    hint: `install: apt-get install ${packages.join(" ")}`,
  });
}

interface Check {
  readonly name: string;
  /** Shell commands that succeed when the machine can do it. */
  readonly script: string;
  readonly missing: string;
  readonly fix: string;
}

const NAT_RULE = "-t nat -A OUTPUT -p tcp -m owner ! --uid-owner 1337 -j REDIRECT --to-ports 15001";
const IPV6 = "test -e /proc/sys/net/ipv6/conf/all/forwarding";

const CHECKS: readonly Check[] = [
  {
    name: "veth",
    script: "ip link add tulle0 type veth peer name tulle1",
    missing: "the kernel cannot make veth pairs",
    fix: "load the module: modprobe veth",
  },
  {
    name: "redirect4",
    script: `iptables ${NAT_RULE}`,
    missing: "iptables has no REDIRECT target or owner match in the nat table",
    fix: "load the modules: modprobe -a nft_compat xt_REDIRECT xt_owner nf_nat (or iptable_nat with iptables-legacy)",
  },
  {
    name: "redirect6",
    script: `if ${IPV6}; then ip6tables ${NAT_RULE}; fi`,
    missing: "ip6tables has no REDIRECT target or owner match in the nat table",
    fix: "load the modules: modprobe -a ip6table_nat xt_REDIRECT xt_owner nf_nat, or switch IPv6 off (ipv6.disable=1)",
  },
  {
    name: "overlay",
    script:
      'mount -n -t tmpfs tmpfs "$1" && mkdir "$1/u" "$1/w" "$1/r" && mount -n -t overlay overlay -o "lowerdir=/,upperdir=$1/u,workdir=$1/w" "$1/r" && test -x "$1/r/bin/sh"',
    missing: "an overlay of / cannot be mounted",
    fix: `load the module: modprobe overlay; ${IN_A_CONTAINER}`,
  },
];

/**
 * Tries everything once in namespaces of its own, which vanish at the end. `mountPoint` is an empty directory.
 * Throws LocalError `no-namespaces` or `preflight` with every missing thing and its fix.
 */
export async function preflight(mountPoint: string): Promise<void> {
  checkTools();
  const scratch = [
    "unshare",
    "--net",
    "--mount",
    "--propagation",
    "private",
    "--pid",
    "--fork",
    "--kill-child=SIGKILL",
  ];
  const script = CHECKS.map(
    (check) =>
      `if ! said=$( { ${check.script}; } 2>&1 ); then printf '%s\\t%s\\n' ${check.name} "$(echo "$said" | tail -n 1)"; fi`,
  ).join("\n");
  const result = await tryTool([...scratch, "--", "sh", "-c", `${script}\necho done`, "sh", mountPoint]);
  if (!result.stdout.endsWith("done\n")) {
    throw new LocalError("no-namespaces", `this machine does not let root make namespaces: ${result.stderr.trim()}`, {
      hint: IN_A_CONTAINER,
    });
  }
  const missing = result.stdout.split("\n").flatMap((line) => {
    const [name, said] = line.split("\t");
    const check = CHECKS.find((one) => one.name === name);
    return check === undefined ? [] : [{ check, said }];
  });
  if (missing.length === 0) return;
  throw new LocalError("preflight", missing.map(({ check, said }) => `${check.missing} (${said ?? ""})`).join("; "), {
    hint: missing.map(({ check }) => check.fix).join("\n  "),
  });
}
