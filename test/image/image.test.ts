/**
 * dist/tulle-image.tar: a valid OCI image, and what is in it runs as Kubernetes would run it, in containers by crun over a root
 * file system unpacked from the archive and nothing else. Needs root.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { cpSync, lstatSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import packageJson from "../../package.json" with { type: "json" };
import { ROOT } from "../support/machine.ts";
import { OwnFolder } from "../support/own-folder.ts";
import { Archive, sha256, tar } from "./archive.ts";

const FILE = join(ROOT, "dist/tulle-image.tar");
const folder = new OwnFolder("tulle-image-");
const work = folder.path;
const rootfs = join(work, "rootfs");
let archive: Archive;
let containers = 0;

beforeAll(async () => {
  const made = Bun.spawnSync([join(ROOT, "scripts/image.sh")], { stdout: "pipe", stderr: "pipe" });
  if (made.exitCode !== 0) throw new Error(made.stderr.toString());
  archive = await Archive.open(FILE, join(work, "oci"));
  await archive.unpack(rootfs);
}, 120_000);

afterAll(() => folder[Symbol.dispose]());

interface ContainerOptions {
  /** The image's own unless told. */
  readonly user?: { readonly uid: number; readonly gid: number };
  readonly capabilities?: readonly string[];
  readonly env?: readonly string[];
}

/** Runs a program in a container of the image: read-only root, a network namespace of its own, no capability unless told. */
async function run(args: readonly string[], options: ContainerOptions = {}) {
  const id = `tulle-image-test-${process.pid}-${++containers}`;
  const bundle = join(work, id);
  mkdirSync(bundle);
  const capabilities = options.capabilities ?? [];
  const [uid, gid] = archive.config.config.User.split(":").map(Number);
  const spec = {
    ociVersion: "1.0.2",
    process: {
      terminal: false,
      user: options.user ?? { uid, gid },
      args,
      env: [...archive.config.config.Env, ...(options.env ?? [])],
      cwd: "/",
      noNewPrivileges: true,
      capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities },
    },
    root: { path: rootfs, readonly: true },
    hostname: "image",
    mounts: [
      { destination: "/proc", type: "proc", source: "proc" },
      { destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["nosuid", "mode=755"] },
      { destination: "/sys", type: "sysfs", source: "sysfs", options: ["nosuid", "noexec", "nodev", "ro"] },
    ],
    linux: { namespaces: ["pid", "ipc", "uts", "mount", "network"].map((type) => ({ type })) },
  };
  writeFileSync(join(bundle, "config.json"), JSON.stringify(spec));
  // crun refuses the hybrid layout of cgroups even when told to leave cgroups alone: show it the unified one.
  const show = "if [ -d /sys/fs/cgroup ]; then mount -n -t cgroup2 cgroup2 /sys/fs/cgroup 2>/dev/null || :; fi";
  const crun = `exec crun --cgroup-manager=disabled --root=${join(work, "crun")} run --bundle ${bundle} ${id}`;
  const command = ["unshare", "--mount", "sh", "-c", `${show}; ${crun}`];
  const child = Bun.spawn(command, { stdin: "ignore", stdout: "pipe", stderr: "pipe", timeout: 60_000 });
  const [stdout, stderr, status] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { status, stdout, stderr };
}

describe("the archive", () => {
  test("is an OCI image layout whose every blob has the size and digest that it is named by", () => {
    expect(archive.layout).toEqual({ imageLayoutVersion: "1.0.0" });
    expect(archive.index.schemaVersion).toBe(2);
    expect(archive.index.manifests).toHaveLength(1);
    expect(archive.manifest.schemaVersion).toBe(2);
    expect(archive.manifest.config.mediaType).toBe("application/vnd.oci.image.config.v1+json");
    // Nothing beside what is named.
    const named = [archive.index.manifests[0], archive.manifest.config, ...archive.manifest.layers];
    expect(readdirSync(join(work, "oci/blobs/sha256")).sort()).toEqual(
      named.map((one) => one?.digest.slice("sha256:".length) ?? "").sort(),
    );
  });

  test("says of each layer the digest that it has unpacked, and one line of history", () => {
    expect(archive.config.rootfs).toEqual({ type: "layers", diff_ids: archive.layers.map(sha256) });
    expect(archive.config.history).toHaveLength(archive.layers.length);
  });

  test("is named for the runtime of Kubernetes, with platform, user and entry point", () => {
    const machine = process.arch === "x64" ? "amd64" : process.arch;
    expect(archive.index.manifests[0]).toMatchObject({
      platform: { architecture: machine, os: "linux" },
      annotations: {
        "io.containerd.image.name": `localhost/tulle:${packageJson.version}`,
        "org.opencontainers.image.ref.name": packageJson.version,
      },
    });
    expect(archive.config).toMatchObject({
      architecture: machine,
      os: "linux",
      config: { User: "65532:65532", Entrypoint: ["/usr/local/bin/tulle"] },
    });
  });

  test("says the same of user, entry point and path as the Dockerfile", () => {
    const dockerfile = readFileSync(join(ROOT, "Dockerfile"), "utf8");
    const line = (word: string) => new RegExp(`^${word} (.*)$`, "m").exec(dockerfile)?.[1];
    const { User, Entrypoint, Env } = archive.config.config;
    expect([line("USER"), line("ENTRYPOINT"), line("ENV")]).toEqual([User, JSON.stringify(Entrypoint), Env[0]]);
  });

  test("is compiled from no other file than the Dockerfile copies and .dockerignore lets through", () => {
    const dockerfile = readFileSync(join(ROOT, "Dockerfile"), "utf8");
    const ignore = readFileSync(join(ROOT, ".dockerignore"), "utf8").split("\n");
    const copied = [...dockerfile.matchAll(/^COPY (?!--from)(.*) \S+$/gm)].flatMap(([, files = ""]) =>
      files.split(" "),
    );
    for (const file of copied)
      expect(ignore.some((line) => line === `!${file}` || line.startsWith(`!${file}`))).toBeTrue();
    const context = join(work, "context");
    mkdirSync(context);
    for (const file of copied) cpSync(join(ROOT, file), join(context, file), { recursive: true });
    symlinkSync(join(ROOT, "node_modules"), join(context, "node_modules"));
    const built = Bun.spawnSync([join(context, "scripts/build.sh")], { cwd: context, stdout: "pipe", stderr: "pipe" });
    expect({ status: built.exitCode, stderr: built.stderr.toString() }).toEqual({ status: 0, stderr: "" });
  });

  test("is the same, byte for byte, when it is made again", () => {
    const before = sha256(readFileSync(FILE));
    expect(Bun.spawnSync([join(ROOT, "scripts/image.sh")]).exitCode).toBe(0);
    expect(sha256(readFileSync(FILE))).toBe(before);
  });

  test("is within its budget: 60 MB to fetch, 130 MB unpacked", () => {
    expect(statSync(FILE).size).toBeLessThan(60e6);
    expect(archive.layers.reduce((sum, layer) => sum + layer.length, 0)).toBeLessThan(130e6);
  });
});

describe("the files of the image", () => {
  test("are owned by root, none writable by others or set-uid", async () => {
    const list = await tar("-tvf", join(work, "oci/layer0.tar"), "--numeric-owner");
    for (const line of list.trimEnd().split("\n")) {
      const [mode = "", owner] = line.split(/\s+/);
      expect(owner).toBe("0/0");
      if (mode.startsWith("-")) expect(mode).toMatch(/^-r.[x-]r-[x-]r-[x-]$/);
    }
  });

  test("hold no shell, no package manager and no program that is not asked for", () => {
    const programs = ["usr/bin", "usr/sbin", "usr/local/bin"].flatMap((folder) => readdirSync(join(rootfs, folder)));
    const list = readFileSync(join(ROOT, "image/programs.list"), "utf8");
    const wanted = [...list.matchAll(/^\/usr\/sbin\/(\S+)\s+(\S+)$/gm)].flatMap(([, link = "", file = ""]) => [
      link,
      file,
    ]);
    expect(programs.sort()).toEqual([...new Set([...wanted, "tulle"])].sort());
  });

  test("name the Debian package and the licence of everything taken from Debian", () => {
    const packages = readdirSync(join(rootfs, "var/lib/dpkg/status.d"));
    expect(packages).toEqual(expect.arrayContaining(["iptables", "libc6", "libxtables12"]));
    for (const name of packages) {
      expect(readFileSync(join(rootfs, "var/lib/dpkg/status.d", name), "utf8")).toMatch(/^Version: /m);
      expect(lstatSync(join(rootfs, "usr/share/doc", name, "copyright")).isFile()).toBeTrue();
    }
  });
});

describe("in a container of the image", () => {
  test("tulle runs as the image's own user over a read-only root", async () => {
    expect(await run(["/usr/local/bin/tulle", "version"])).toEqual({
      status: 0,
      stdout: expect.stringContaining(`tulle ${packageJson.version}`),
      stderr: "",
    });
  });

  test.each([
    ["iptables", "nf_tables"],
    ["iptables-save", "nf_tables"],
    ["iptables-restore", "nf_tables"],
    ["ip6tables", "nf_tables"],
    ["ip6tables-restore", "nf_tables"],
    ["iptables-nft", "nf_tables"],
    ["ip6tables-nft-restore", "nf_tables"],
    ["iptables-legacy", "legacy"],
    ["iptables-legacy-restore", "legacy"],
    ["ip6tables-legacy", "legacy"],
    ["ip6tables-legacy-save", "legacy"],
  ])("%s is there and is the variant %s", async (program, variant) => {
    const { status, stdout } = await run([program, "--version"]);
    expect({ status, stdout }).toEqual({
      status: 0,
      stdout: expect.stringMatching(new RegExp(`^ip6?tables.* v1\\..*\\(${variant}\\)`)),
    });
  });

  test("tulle init writes the rules with the init container's user and capability", async () => {
    const { status, stdout, stderr } = await run(["/usr/local/bin/tulle", "init"], {
      user: { uid: 0, gid: 0 },
      capabilities: ["CAP_NET_ADMIN"],
    });
    expect({ status, stderr }).toEqual({ status: 0, stderr: expect.any(String) });
    expect(`${stdout}${stderr}`).toContain("15001");
  });

  test("tulle install renders its objects with nothing but the image", async () => {
    const { status, stdout } = await run(["/usr/local/bin/tulle", "install"]);
    expect({ status, stdout }).toEqual({
      status: 0,
      stdout: expect.stringContaining("kind: MutatingWebhookConfiguration"),
    });
  });
});
