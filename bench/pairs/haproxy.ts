/** HAProxy in TCP mode: one mTLS connection for each connection of the application. */
import { APP_PORT, SERVER_IP } from "../addresses.ts";
import type { Pair } from "./pair.ts";

const OUTBOUND = 17001;
const INBOUND = 17006;

export const haproxy: Pair = {
  name: "haproxy",
  about: "HAProxy in TCP mode, one thread each",
  program: "haproxy",
  version: ["haproxy", "-v"],
  async start(stage, { client, server, roots }) {
    const inboundConfig = tcpConfig(
      `bind ${SERVER_IP}:${INBOUND} ssl crt ${server.both} ca-file ${roots} verify required ssl-min-ver TLSv1.3 backlog 16384`,
      `server app ${SERVER_IP}:${APP_PORT}`,
    );
    const outboundConfig = tcpConfig(
      `bind 127.0.0.1:${OUTBOUND} backlog 16384`,
      `server peer ${SERVER_IP}:${INBOUND} ssl crt ${client.both} ca-file ${roots} verify required sni str(server) ssl-min-ver TLSv1.3`,
    );
    const run = (file: string, config: string) => ["haproxy", "-db", "-f", stage.write(file, config)];
    const inbound = await stage.start(stage.server, run("inbound.cfg", inboundConfig), INBOUND);
    const outbound = await stage.start(stage.client, run("outbound.cfg", outboundConfig), OUTBOUND);
    await stage.capture(OUTBOUND);
    return { outbound, inbound };
  },
};

function tcpConfig(bind: string, server: string): string {
  return `global
  nbthread 1
  maxconn 9900
  tune.bufsize 65536
defaults
  mode tcp
  timeout connect 5s
  timeout client 3600s
  timeout server 3600s
listen proxy
  ${bind}
  ${server}
`;
}
