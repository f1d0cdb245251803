/** ztunnel, the node proxy of Istio's ambient mesh: HTTP/2 CONNECT streams on pooled mTLS connections, in Rust. */
import { APP_PORT, CLIENT_IP, SERVER_IP } from "../addresses.ts";
import type { End } from "../credentials.ts";
import { UNCAPTURED_MARK } from "../stage.ts";
import type { Pair } from "./pair.ts";
import { peerProgram } from "./programs.ts";

const OUTBOUND = 15001;
const INBOUND = 15008;
const PROGRAM = peerProgram("ztunnel");

export const ztunnel: Pair = {
  name: "ztunnel",
  about: "ztunnel, one worker thread each",
  program: PROGRAM,
  version: [PROGRAM, "version"],
  async start(stage) {
    const workloads = stage.write("workloads.json", JSON.stringify(mesh()));
    const run = (end: End, port: number) =>
      stage.start(stage[end], [PROGRAM, "proxy", "ztunnel"], port, {
        // Its own certificates for both, without a control plane.
        FAKE_CA: "true",
        XDS_ADDRESS: "",
        LOCAL_XDS_PATH: workloads,
        PROXY_MODE: "dedicated",
        PROXY_WORKLOAD_INFO: `bench/${end}/${end}`,
        NODE_NAME: end,
        PACKET_MARK: String(UNCAPTURED_MARK),
        ENABLE_ORIG_SRC: "false",
        ISTIO_META_DNS_CAPTURE: "false",
        ZTUNNEL_WORKER_THREADS: "1",
        // Without a line for each connection, as Tulle writes none.
        RUST_LOG: "warn",
      });
    const inbound = await run("server", INBOUND);
    const outbound = await run("client", OUTBOUND);
    await stage.capture(OUTBOUND);
    return { outbound, inbound };
  },
};

/** The mesh as both of them see it. */
function mesh(): object {
  const workload = (name: End, ip: string) => ({
    uid: `cluster1//v1/Pod/bench/${name}`,
    name,
    namespace: "bench",
    serviceAccount: name,
    trustDomain: "cluster.local",
    workloadIps: [ip],
    protocol: "HBONE",
    node: name,
    network: "",
    services: name === "server" ? { "bench/app.bench.svc.cluster.local": { 80: APP_PORT } } : {},
  });
  const service = { name: "app", namespace: "bench", hostname: "app.bench.svc.cluster.local", vips: ["/10.250.99.9"] };
  return {
    workloads: [workload("client", CLIENT_IP), workload("server", SERVER_IP)],
    services: [{ ...service, ports: { 80: APP_PORT } }],
    policies: [],
  };
}
