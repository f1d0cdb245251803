/** Starts the inner runner in namespaces that die with it, and with the process that calls this. */
import { quote, TOOL_PATH } from "../node/tool.ts";

/** Environment variable with the number, on the machine, of the node's first process. */
export const NODE_PID_VARIABLE = "TULLE_NODE_PID";
/** Where the machine's state directory is seen from inside the node, and the node's own tmpfs. */
export const INNER_STATE_DIRECTORY = "/run/state";

export type InnerProcess = Bun.Subprocess<"pipe", "pipe", "pipe">;

/**
 * Runs `command` as the first work of a new network, mount and process namespace. The shell is process 1 there: it
 * reaps orphans and ends when the command ends, and with it every process of the namespace. setpriv ends all of it when
 * this process dies, whatever it dies of. /run is a tmpfs of the node's own, so that no name of a namespace, lock or
 * socket of a tool reaches the machine.
 */
export function spawnInner(
  command: readonly string[],
  paths: { readonly directory: string; readonly mountPoint: string },
): InnerProcess {
  const at = quote(paths.mountPoint);
  const script = [
    // The old /proc still tells the machine's number of this process.
    "read -r pid rest </proc/self/stat",
    "mount -n -t proc -o nosuid,nodev,noexec proc /proc",
    `mount -n -t tmpfs -o mode=0755,nosuid,nodev tmpfs ${at}`,
    `mkdir ${at}/state ${at}/netns ${at}/lock ${at}/pods`,
    `mount -n --bind ${quote(paths.directory)} ${at}/state`,
    `mount -n --move ${at} /run`,
    // crun refuses the hybrid layout of cgroups even when told to leave cgroups alone: show it the unified one.
    "if [ -d /sys/fs/cgroup ]; then mount -n -t cgroup2 cgroup2 /sys/fs/cgroup 2>/dev/null || :; fi",
    `export ${NODE_PID_VARIABLE}=$pid`,
    // A shell gives work in the background /dev/null for standard input before it reads `<&0`: hence the detour.
    "exec 3<&0",
    '"$@" <&3 3<&- &',
    "wait $!",
  ].join("\n");
  const namespaces = ["--net", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child=SIGKILL"];
  return Bun.spawn(
    // A session of its own: Ctrl-C on the terminal must reach the supervisor alone.
    ["setpriv", "--pdeathsig", "KILL", "setsid", "unshare", ...namespaces, "--", "sh", "-ec", script, "sh", ...command],
    { env: { PATH: TOOL_PATH, LANG: "C.UTF-8", HOME: "/" }, stdin: "pipe", stdout: "pipe", stderr: "pipe" },
  );
}
