/** nginx's stream proxy: one mTLS connection for each connection of the application. */
import { APP_PORT, SERVER_IP } from "../addresses.ts";
import type { Pair } from "./pair.ts";

const OUTBOUND = 16001;
const INBOUND = 16006;

export const nginx: Pair = {
  name: "nginx",
  about: "nginx's stream module, one worker each",
  program: "nginx",
  version: ["nginx", "-v"],
  async start(stage, credentials) {
    const { client, server, roots } = credentials;
    const inboundConfig = streamConfig(`${stage.folder}/inbound.pid`, [
      `listen ${SERVER_IP}:${INBOUND} ssl backlog=16384`,
      `ssl_certificate ${server.certificate}`,
      `ssl_certificate_key ${server.key}`,
      `ssl_client_certificate ${roots}`,
      "ssl_verify_client on",
      // A leaf, its intermediate and a root.
      "ssl_verify_depth 3",
      "ssl_protocols TLSv1.3",
      `proxy_pass ${SERVER_IP}:${APP_PORT}`,
    ]);
    const outboundConfig = streamConfig(`${stage.folder}/outbound.pid`, [
      `listen 127.0.0.1:${OUTBOUND} backlog=16384`,
      `proxy_pass ${SERVER_IP}:${INBOUND}`,
      "proxy_ssl on",
      `proxy_ssl_certificate ${client.certificate}`,
      `proxy_ssl_certificate_key ${client.key}`,
      `proxy_ssl_trusted_certificate ${roots}`,
      "proxy_ssl_verify on",
      "proxy_ssl_verify_depth 3",
      "proxy_ssl_name server",
      "proxy_ssl_protocols TLSv1.3",
      "proxy_ssl_session_reuse on",
    ]);
    const inbound = await stage.start(
      stage.server,
      ["nginx", "-c", stage.write("inbound.conf", inboundConfig)],
      INBOUND,
    );
    const outbound = await stage.start(
      stage.client,
      ["nginx", "-c", stage.write("outbound.conf", outboundConfig)],
      OUTBOUND,
    );
    await stage.capture(OUTBOUND);
    return { outbound, inbound };
  },
};

function streamConfig(pid: string, directives: readonly string[]): string {
  return `load_module /usr/lib/nginx/modules/ngx_stream_module.so;
user root;
worker_processes 1;
worker_rlimit_nofile 100000;
daemon off;
pid ${pid};
error_log stderr;
events { worker_connections 30000; }
stream {
  server {
    ${[...directives, "proxy_timeout 3600s", "proxy_buffer_size 64k", "tcp_nodelay on"].join(";\n    ")};
  }
}
`;
}
