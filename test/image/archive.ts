/** An OCI image archive, read and unpacked by the specification (opencontainers/image-spec), not by what made it. */
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly platform?: { readonly architecture: string; readonly os: string };
}

export interface ImageConfig {
  readonly architecture: string;
  readonly os: string;
  readonly config: {
    readonly User: string;
    readonly Entrypoint: readonly string[];
    readonly Env: readonly string[];
    readonly Labels: Readonly<Record<string, string>>;
  };
  readonly rootfs: { readonly type: string; readonly diff_ids: readonly string[] };
  readonly history: readonly { readonly empty_layer?: boolean }[];
}

export async function tar(...args: readonly string[]): Promise<string> {
  const child = Bun.spawn(["tar", ...args], { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const [stdout, stderr, status] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  if (status !== 0) throw new Error(`tar ${args.join(" ")}: ${stderr}`);
  return stdout;
}

export function sha256(data: Uint8Array): string {
  return `sha256:${createHash("sha256").update(data).digest("hex")}`;
}

export class Archive {
  readonly index: { readonly schemaVersion: number; readonly manifests: readonly Descriptor[] };
  readonly manifest: {
    readonly schemaVersion: number;
    readonly config: Descriptor;
    readonly layers: readonly Descriptor[];
  };
  readonly config: ImageConfig;
  /** The layers, unpacked from their compression. */
  readonly layers: readonly Uint8Array[];
  readonly layout: unknown;
  readonly #folder: string;

  private constructor(folder: string) {
    this.#folder = folder;
    this.layout = JSON.parse(readFileSync(join(folder, "oci-layout"), "utf8"));
    this.index = JSON.parse(readFileSync(join(folder, "index.json"), "utf8"));
    const [image] = this.index.manifests;
    if (image === undefined) throw new Error("no image in the index");
    this.manifest = JSON.parse(Buffer.from(this.blob(image)).toString());
    this.config = JSON.parse(Buffer.from(this.blob(this.manifest.config)).toString());
    this.layers = this.manifest.layers.map((layer) => Bun.gunzipSync(new Uint8Array(this.blob(layer))));
  }

  /** Unpacks the file into the folder. Throws when anything it names is missing or other than named. */
  static async open(file: string, folder: string): Promise<Archive> {
    mkdirSync(folder, { recursive: true });
    await tar("-xf", file, "-C", folder);
    return new Archive(folder);
  }

  /** A blob whose size and digest are as described. */
  blob({ digest, size }: Descriptor): Uint8Array {
    const data = readFileSync(join(this.#folder, "blobs", digest.replace(":", "/")));
    if (data.length !== size || sha256(data) !== digest) throw new Error(`${digest} is not what it is named`);
    return data;
  }

  /** Lays the layers over each other in the folder. */
  async unpack(root: string): Promise<void> {
    mkdirSync(root, { recursive: true });
    for (const [number, layer] of this.layers.entries()) {
      const file = join(this.#folder, `layer${number}.tar`);
      writeFileSync(file, layer);
      await tar("-xf", file, "-C", root, "--same-owner", "--same-permissions");
    }
  }
}
