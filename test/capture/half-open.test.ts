/**
 * What becomes of a redirected connection of which only one side has ended: the kernel forgets it after
 * nf_conntrack_tcp_timeout_close_wait, and the other side's FIN is then lost, unless a keep-alive probe came in between.
 */
import { expect, test } from "bun:test";
import { createPod, initialise, OUTSIDE_V4, POD_V4 } from "../support/pod.ts";

const [KEPT, FORGOTTEN] = [41_001, 41_002];

/**
 * Stands for the proxy, which ends its side at once, and for the application, which ends its own after 3 s of silence and
 * then dials from the same port again. Only the connection from KEPT is probed, every second. Prints the ports whose FIN came.
 */
const SCRIPT = `
const net = require("net");
const ends = [];
let again = false;
net.createServer({ allowHalfOpen: true }, (c) => {
  const port = c.remotePort;
  c.on("error", () => {});
  c.on("end", () => { ends.push(port); if (port === ${KEPT} && !again) { again = true; dial(${KEPT}, 81, report); } });
  if (port === ${KEPT}) c.setKeepAlive(true, 1000);
  c.resume();
  c.end("hello");
}).listen(15001, "127.0.0.1", () => {
  const silent = [${KEPT}, ${FORGOTTEN}].map((port) => dial(port, 80, () => {}));
  Promise.all(silent.map((c) => new Promise((heard) => c.on("end", heard)))).then(() => setTimeout(() => silent.forEach((c) => c.end()), 3000));
});
function dial(localPort, port, heard) {
  return net.connect({ host: "${OUTSIDE_V4}", port, localAddress: "${POD_V4}", localPort, allowHalfOpen: true }).once("data", heard);
}
function report(data) {
  console.log(ends.join() + " " + data);
  process.exit(0);
}
`;

test("24: probes more often than the kernel's time limit keep it, so that both ends pass and the port can be used again", async () => {
  using pod = createPod(["ipv4"]);
  await initialise(pod.inside);
  await pod.inside.run(["sh", "-c", "echo 2 >/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_close_wait"]);
  const output = await pod.inside.run(["node", "-e", SCRIPT], { timeout: 20_000 });
  expect(output).toBe(`${KEPT} hello\n`);
});
