/** The steps of the demo, each one claim with its proof. A step holds only if its proof was seen. */
import { type Certificate, parseCertificate, pemDecode } from "../../identity/index.ts";
import { type LoadReport, loadScript } from "./load.ts";
import { capture, count, inPod, ipv4, onNode, type PodLine, tulle } from "./mesh.ts";

/** What the steps share. */
export interface Scene {
  readonly pods: readonly PodLine[];
}

export interface Step {
  readonly title: string;
  readonly run: (scene: Scene) => Promise<{ held: boolean; fact: string; lines?: readonly string[] }>;
}

const NAMESPACE = "demo";

export const STEPS: readonly Step[] = [
  { title: "certificate authority made", run: authority },
  { title: "pods injected", run: injected },
  { title: "iptables rules in place", run: rules },
  { title: "requests flow", run: requests },
  { title: "nothing readable on the wire", run: wire },
  { title: "server-speaks-first protocol", run: serverFirst },
  { title: "intruder refused", run: intruder },
  { title: "both ends have an identity", run: identities },
  { title: "certificate renewed under load", run: renewal },
];

function podOf(scene: Scene, prefix: string): PodLine {
  const pod = scene.pods.find((one) => one.name === prefix || one.name.startsWith(`${prefix}-`));
  if (pod === undefined) throw new Error(`no pod ${prefix}`);
  return pod;
}

function all(scene: Scene, namespace: string): readonly PodLine[] {
  return scene.pods.filter((pod) => pod.namespace === namespace);
}

async function authority(scene: Scene) {
  const client = podOf(scene, "client");
  const file = "/var/run/secrets/tulle/root-cert.pem";
  const read = await tulle(["exec", "-n", NAMESPACE, client.name, "-c", "tulle-proxy", "--", "cat", file]);
  const root = pemDecode("CERTIFICATE", read.stdout)[0];
  if (root === undefined) return { held: false, fact: `no root in ${file}: ${read.stderr.trim()}` };
  const certificate = parseCertificate(root);
  return {
    held: certificate.isCa && certificate.notAfter > Date.now(),
    fact: `P-256 root, until ${day(certificate).slice(0, 10)}, key ${certificate.subjectKeyId?.slice(0, 16) ?? "?"}…`,
  };
}

async function injected(scene: Scene) {
  const names: string[] = [];
  for (const pod of all(scene, NAMESPACE)) {
    const ready = await onNode([
      "curl",
      "-s",
      "-o",
      "/dev/null",
      "-w",
      "%{http_code}",
      `http://${ipv4(pod)}:15021/healthz/ready`,
    ]);
    if (ready.stdout === "200") names.push(pod.name);
  }
  const wanted = all(scene, NAMESPACE).length;
  return {
    held: wanted > 0 && names.length === wanted,
    fact: `${names.length} of ${wanted} pods of namespace ${NAMESPACE} have a ready sidecar`,
    lines: names,
  };
}

async function rules(scene: Scene) {
  const log = await tulle(["logs", "-n", NAMESPACE, podOf(scene, "client").name, "-c", "tulle-init"]);
  const redirects = log.stdout.split("\n").filter((line) => /^-A .*REDIRECT/.test(line));
  const complete = ["15001", "15006"].every((port) => redirects.some((line) => line.includes(port)));
  return {
    held: complete,
    fact: `${redirects.length} REDIRECT rules: out to 15001, in to 15006`,
    lines: redirects.map((line) => line.trim()),
  };
}

async function load(scene: Scene, seconds: number): Promise<LoadReport> {
  const ran = await inPod(NAMESPACE, podOf(scene, "client").name, loadScript("http://web/", 8, seconds));
  if (ran.code !== 0) throw new Error(`the client failed: ${ran.stderr.trim()}`);
  return JSON.parse(ran.stdout) as LoadReport;
}

async function requests(scene: Scene) {
  const client = podOf(scene, "client");
  const before = await count(client, "outbound", "mtls");
  const report = await load(scene, 2);
  const tunnelled = (await count(client, "outbound", "mtls")) - before;
  return {
    held: report.failed === 0 && report.done > 0 && tunnelled > 0,
    fact: `${report.done} requests, ${report.failed} failed, p50 ${report.p50.toFixed(1)} ms, p99 ${report.p99.toFixed(1)} ms`,
    lines: [`${report.perSecond} requests/s over ${tunnelled} connections, each counted as mtls`],
  };
}

async function wire(scene: Scene) {
  const client = podOf(scene, "client").name;
  const marker = `marker-${crypto.randomUUID()}`;
  const send = async (url: string) => {
    const sent = await inPod(NAMESPACE, client, ["curl", "-sS", "--max-time", "10", "-d", marker, url]);
    if (!sent.stdout.includes(marker)) throw new Error(`the request did not pass: ${sent.stderr.trim()}`);
  };
  const meshed = await capture(() => send("http://web/"));
  const plain = await capture(() => send(`http://${ipv4(podOf(scene, "plain"))}:8080/`));
  const inMesh = meshed.includes(marker);
  const outside = plain.includes(marker);
  return {
    held: meshed.length > 1000 && !inMesh && outside,
    fact: `marker ${inMesh ? "FOUND" : "not found"} in the capture; without the mesh ${outside ? "found" : "NOT found"}`,
    lines: [`captured: ${meshed.length} bytes with the mesh, ${plain.length} bytes without it`],
  };
}

async function serverFirst(scene: Scene) {
  const client = podOf(scene, "client");
  const script = `const t = process.hrtime.bigint(); const c = require("net").connect(25, "mail");
c.on("data", (d) => { console.log((Number(process.hrtime.bigint() - t) / 1e6).toFixed(1) + " " + d.toString().trim()); process.exit(0); });
c.on("error", (e) => { console.error(e.code); process.exit(1); }); setTimeout(() => process.exit(1), 5000);`;
  const before = await count(client, "outbound", "mtls");
  const heard = await inPod(NAMESPACE, client.name, ["node", "-e", script]);
  const [time = "?", ...banner] = heard.stdout.trim().split(" ");
  const tunnelled = (await count(client, "outbound", "mtls")) - before;
  return {
    held: heard.code === 0 && banner.join(" ").startsWith("220") && tunnelled === 1,
    fact: `"${banner.join(" ")}" over mTLS after ${time} ms`,
  };
}

async function intruder(scene: Scene) {
  const web = podOf(scene, "web");
  const before = await count(web, "inbound", "refused-strict");
  const tried = await inPod("outside", "intruder", ["curl", "-sS", "--max-time", "5", `http://${ipv4(web)}:8080/`]);
  const refused = (await count(web, "inbound", "refused-strict")) - before;
  const log = await tulle(["logs", "-n", NAMESPACE, web.name, "-c", "tulle-proxy"]);
  const line = log.stdout.split("\n").findLast((one) => one.includes("refused-strict")) ?? "";
  return {
    held: tried.code !== 0 && tried.stdout === "" && refused === 1 && line !== "",
    fact: "reset; refused-strict in the server's metrics and log",
    lines: [tried.stderr.trim(), line],
  };
}

/** The certificate that a pod's proxy shows to a new handshake. */
async function shown(pod: PodLine): Promise<Certificate> {
  const asked = await onNode(
    ["timeout", "5", "openssl", "s_client", "-connect", `${ipv4(pod)}:15008`, "-alpn", "h2", "-tls1_3", "-showcerts"],
    "",
  );
  const leaf = pemDecode("CERTIFICATE", asked.stdout)[0];
  if (leaf === undefined) throw new Error(`${pod.name} showed no certificate: ${asked.stderr.trim()}`);
  return parseCertificate(leaf);
}

function day(certificate: Certificate): string {
  return `${new Date(certificate.notAfter).toISOString().slice(0, 16).replace("T", " ")} UTC`;
}

async function identities(scene: Scene) {
  const lines: string[] = [];
  let held = true;
  for (const name of ["client", "web"]) {
    const certificate = await shown(podOf(scene, name));
    const wanted = `spiffe://cluster.local/ns/${NAMESPACE}/sa/${name}`;
    held &&= certificate.uriSans.length === 1 && certificate.uriSans[0] === wanted && certificate.notAfter > Date.now();
    lines.push(`${certificate.uriSans.join(", ")}`);
    lines.push(
      `  issuer key ${certificate.authorityKeyId ?? "?"}, serial ${certificate.serial}, until ${day(certificate)}`,
    );
  }
  return { held, fact: "client and web each show one SPIFFE ID, signed by the mesh", lines };
}

async function renewal(scene: Scene) {
  const web = podOf(scene, "web");
  const before = await shown(web);
  const loading = load(scene, 4);
  await Bun.sleep(800);
  const asked = await tulle(["rotate", "leaf"]);
  if (asked.code !== 0) throw new Error(asked.stderr.trim());
  let after = before;
  for (const until = Date.now() + 5000; after.serial === before.serial && Date.now() < until; )
    after = await shown(web);
  const report = await loading;
  const newKey = Buffer.compare(before.spki, after.spki) !== 0;
  return {
    held: after.serial !== before.serial && newKey && report.failed === 0 && report.done > 0,
    fact: `new key and serial, ${report.done} requests meanwhile, ${report.failed} failed`,
    lines: [`serial ${before.serial}`, `    → ${after.serial}`],
  };
}
