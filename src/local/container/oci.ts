/** The OCI bundle configuration of a container, as data (opencontainers/runtime-spec 1.0). */

export interface Mount {
  /** A file or directory of the node's mount namespace. */
  readonly source: string;
  /** Absolute path in the container. */
  readonly destination: string;
  readonly readOnly: boolean;
}

/** All that decides how a container's process runs. */
export interface ContainerSettings {
  readonly args: readonly string[];
  /** `NAME=value` lines. */
  readonly env: readonly string[];
  readonly cwd: string;
  readonly uid: number;
  readonly gid: number;
  readonly additionalGids: readonly number[];
  readonly capabilities: readonly string[];
  readonly noNewPrivileges: boolean;
  readonly readOnlyRoot: boolean;
  readonly hostname: string;
  /** Path of the pod's network namespace. */
  readonly networkNamespace: string;
  /** Path of the merged root file system. */
  readonly root: string;
  readonly mounts: readonly Mount[];
}

/** What containerd masks in /proc and /sys (`oci/spec.go`, `populateDefaultUnixSpec`). */
const MASKED_PATHS = [
  "/proc/acpi",
  "/proc/asound",
  "/proc/kcore",
  "/proc/keys",
  "/proc/latency_stats",
  "/proc/timer_list",
  "/proc/timer_stats",
  "/proc/sched_debug",
  "/proc/scsi",
  "/sys/firmware",
  "/sys/devices/virtual/powercap",
];
const READ_ONLY_PATHS = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/** The config.json of a container. */
export function ociConfig(settings: ContainerSettings): object {
  const { capabilities } = settings;
  return {
    ociVersion: "1.0.0",
    process: {
      terminal: false,
      user: { uid: settings.uid, gid: settings.gid, additionalGids: settings.additionalGids },
      args: settings.args,
      env: settings.env,
      cwd: settings.cwd,
      capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities },
      noNewPrivileges: settings.noNewPrivileges,
    },
    root: { path: settings.root, readonly: settings.readOnlyRoot },
    hostname: settings.hostname,
    mounts: [
      { destination: "/proc", type: "proc", source: "proc", options: ["nosuid", "noexec", "nodev"] },
      {
        destination: "/dev",
        type: "tmpfs",
        source: "tmpfs",
        options: ["nosuid", "strictatime", "mode=755", "size=65536k"],
      },
      {
        destination: "/dev/pts",
        type: "devpts",
        source: "devpts",
        options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
      },
      {
        destination: "/dev/shm",
        type: "tmpfs",
        source: "shm",
        options: ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"],
      },
      { destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: ["nosuid", "noexec", "nodev"] },
      {
        destination: "/sys",
        type: "sysfs",
        source: "sysfs",
        options: ["nosuid", "noexec", "nodev", "ro"],
      },
      ...settings.mounts.map((mount) => ({
        destination: mount.destination,
        type: "bind",
        source: mount.source,
        options: ["rbind", "rprivate", "nosuid", "nodev", mount.readOnly ? "ro" : "rw"],
      })),
    ],
    linux: {
      namespaces: [
        { type: "pid" },
        { type: "ipc" },
        { type: "uts" },
        { type: "mount" },
        { type: "network", path: settings.networkNamespace },
      ],
      maskedPaths: MASKED_PATHS,
      readonlyPaths: READ_ONLY_PATHS,
    },
  };
}
