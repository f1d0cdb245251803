/** Nodes that know only one of the two variants of iptables: each tried by an image that lacks the other's program. */
import { expect } from "bun:test";
import { join } from "node:path";
import { type ClusterNamespace, command, run } from "../support/cluster.ts";
import { install } from "../support/install.ts";
import { cleanUp, holdsInNode, Mesh, prepare } from "../support/mesh.ts";
import { app, curl, podOf, SERVER_PORTS, server, url } from "../support/mesh-apps.ts";

const SCRIPTS = join(import.meta.dir, "../cluster");
const VARIANTS = ["nft", "legacy"] as const;
let mesh: Mesh;
let space: ClusterNamespace;

prepare(async () => {
  mesh = await Mesh.find();
  if (mesh.local === undefined) return;
  const images = VARIANTS.map((variant) => `tulle-${variant}`);
  await run([join(SCRIPTS, "images.sh"), ...images]);
  await run([join(SCRIPTS, "load.sh"), ...images]);
  await install(mesh.cluster, ["injection.legacyIptables=true"]);
  space = await mesh.meshed("iptables");
  await space.apply(
    ...VARIANTS.flatMap((variant) => {
      const annotations = { "tulle.dev/image": `tulle-${variant}:local` };
      return [
        podOf(`${variant}-server`, server(), { annotations }),
        podOf(`${variant}-client`, app(["idle"]), { annotations }),
      ];
    }),
  );
  await space.ready(VARIANTS.flatMap((variant) => [`${variant}-server`, `${variant}-client`]));
}, 180_000);
cleanUp(async () => {
  if (space !== undefined) await install(mesh.cluster);
  await space?.[Symbol.asyncDispose]();
});

for (const variant of VARIANTS) {
  holdsInNode(`19: with ${variant} alone, traffic of both families is captured and carried by mTLS`, async () => {
    const log = await space.kubectl(["logs", `${variant}-client`, "-c", "tulle-init"]);
    for (const program of ["iptables", "ip6tables"]) expect(log).toContain(`(${program}-${variant} `);
    const [client, target] = [`${variant}-client`, `${variant}-server`];
    for (const ip of (await space.get(`pod/${target}`, ".status.podIPs[*].ip")).split(" ")) {
      const marker = `${variant}-${crypto.randomUUID()}`;
      const wire = await mesh.capture(async () => {
        const grown = await mesh.growth(space, target, "inbound mtls", async () => {
          expect(await space.exec(client, ...curl(url(ip, SERVER_PORTS.http), marker))).toContain(marker);
        });
        expect(grown).toBe(1);
      });
      expect(wire?.includes(marker)).toBe(false);
      // What is not encrypted is refused: inbound capture works, too.
      const tried = await command(mesh.node.command(...curl(url(ip, SERVER_PORTS.http))));
      expect(tried.stderr).toMatch(/curl: \((7|52|56)\)/);
    }
  });
}
