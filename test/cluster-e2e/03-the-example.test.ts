/**
 * Where the project started: an application that pings, and beside it, written by hand, a container with NET_ADMIN that lists
 * the pod's iptables chains. Then the same application, left to Tulle.
 */
import { expect } from "bun:test";
import { type ClusterNamespace, eventually, type Manifest } from "../support/cluster.ts";
import { cleanUp, holds, Mesh, prepare } from "../support/mesh.ts";
import { podOf, SERVER_PORTS, server } from "../support/mesh-apps.ts";

/** As in examples/app.yaml; the image has iptables, and there is nowhere to fetch it from. */
const BY_HAND = {
  name: "proxy",
  image: "ubuntu",
  command: ["sh", "-c", "iptables -L && sleep 1d"],
  securityContext: { capabilities: { add: ["NET_ADMIN"] } },
};

let mesh: Mesh;
let bare: ClusterNamespace;
let meshed: ClusterNamespace;
/** As kubectl prints it. */
let example: Manifest;
let target = "";

prepare(async () => {
  mesh = await Mesh.find();
  bare = await mesh.namespace("by-hand");
  meshed = await mesh.meshed("left-to-tulle");
  await meshed.apply(podOf("server", server()));
  await meshed.ready(["server"]);
  target = await meshed.get("pod/server", ".status.podIP");
  // There is no internet here: it pings a pod of the cluster.
  const run = [
    "run",
    "app",
    "--image=bash",
    "--command",
    "-o=json",
    "--dry-run=client",
    "--",
    "sh",
    "-c",
    `ping ${target}`,
  ];
  example = JSON.parse(await mesh.cluster.kubectl(run)) as Manifest;
});
cleanUp(async () => {
  await bare?.[Symbol.asyncDispose]();
  await meshed?.[Symbol.asyncDispose]();
});

function spec(): { containers: object[] } {
  return example["spec"] as { containers: object[] };
}

holds("with the container written by hand, its log shows three empty chains", async () => {
  const object = { ...example, spec: { ...spec(), containers: [...spec().containers, BY_HAND] } };
  await bare.apply(object);
  await bare.ready(["app"]);
  // iptables prints a chain and its heading, and nothing below.
  const chain = (name: string) => `Chain ${name} (policy ACCEPT)\ntarget     prot opt source               destination`;
  const empty = ["INPUT", "FORWARD", "OUTPUT"].map(chain).join("\n\n");
  const shown = await eventually(async () => {
    const log = await bare.kubectl(["logs", "app", "-c", "proxy"]);
    return log.includes("OUTPUT") ? log : undefined;
  });
  expect(shown.replaceAll(/ +$/gm, "").trim()).toBe(empty);
  expect(await bare.kubectl(["logs", "app", "-c", "app"])).toContain(`bytes from ${target}`);
});

holds("left to Tulle, the log of tulle-init shows the chains that route its TCP", async () => {
  await meshed.apply(example);
  await meshed.ready(["app"]);
  const chains = await meshed.kubectl(["logs", "app", "-c", "tulle-init"]);
  for (const part of ["REDIRECT", "15001", "15006"]) expect(chains).toContain(part);
  const containers = await meshed.get("pod/app", ".spec.initContainers[*].name");
  expect(containers).toBe("tulle-init tulle-proxy");
  // The application is what kubectl means when no container is named, and its ping, which is no TCP, passes.
  await eventually(async () => {
    const log = await meshed.kubectl(["logs", "app"]);
    return log.includes(`bytes from ${target}`) ? true : undefined;
  });
});

holds("left to Tulle, its TCP is mTLS on the wire", async () => {
  const marker = `example-${crypto.randomUUID()}`;
  const request = `POST / HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\nContent-Length: ${marker.length}\\r\\n\\r\\n${marker}`;
  let answer = "";
  const wire = await mesh.capture(async () => {
    const grown = await mesh.growth(meshed, "app", "outbound mtls", async () => {
      const script = `exec 3<>/dev/tcp/${target}/${SERVER_PORTS.http}; printf '${request}' >&3; cat <&3`;
      answer = await meshed.exec("app", "bash", "-c", script);
    });
    expect(grown).toBe(1);
  });
  expect(answer).toContain(marker);
  if (wire !== undefined) expect(wire.includes(marker)).toBe(false);
});
