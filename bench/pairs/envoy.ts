/**
 * Envoy in the two ways in which it carries TCP: a TCP proxy over mTLS, one connection for each of the application's; and HBONE,
 * where each is one HTTP/2 CONNECT stream on a pooled mTLS connection, as in Istio's waypoints.
 */
import { APP_PORT, SERVER_IP } from "../addresses.ts";
import { type CredentialFiles, type Credentials, spiffeId } from "../credentials.ts";
import type { Pair } from "./pair.ts";
import { peerProgram } from "./programs.ts";

const OUTBOUND = 15301;
const INBOUND = 15306;
const PROGRAM = peerProgram("envoy");
const MANY = 100_000;
const V3 = "type.googleapis.com/envoy.extensions";

type Mode = "hbone" | "tcp";
type Json = Readonly<Record<string, unknown>>;

export const envoyHbone = envoy("hbone", "Envoy with HTTP/2 CONNECT tunnels, concurrency 1");
export const envoyTcp = envoy("tcp", "Envoy's TCP proxy over mTLS, concurrency 1");

function envoy(mode: Mode, about: string): Pair {
  return {
    name: `envoy-${mode}`,
    about,
    program: PROGRAM,
    version: [PROGRAM, "--version"],
    async start(stage, credentials) {
      const run = (file: string, config: Json) => {
        const path = stage.write(file, JSON.stringify(config));
        return [PROGRAM, "-c", path, "--concurrency", "1", "-l", "warning", "--disable-hot-restart"];
      };
      const inbound = await stage.start(stage.server, run("inbound.json", inboundConfig(mode, credentials)), INBOUND);
      const outbound = await stage.start(
        stage.client,
        run("outbound.json", outboundConfig(mode, credentials)),
        OUTBOUND,
      );
      await stage.capture(OUTBOUND);
      return { outbound, inbound };
    },
  };
}

function outboundConfig(mode: Mode, { client, roots }: Credentials): Json {
  const filter = tcpProxy(
    "peer",
    mode === "hbone" ? { tunneling_config: { hostname: `${SERVER_IP}:${APP_PORT}` } } : {},
  );
  const transportSocket = {
    name: "tls",
    typed_config: {
      "@type": `${V3}.transport_sockets.tls.v3.UpstreamTlsContext`,
      sni: "server",
      common_tls_context: {
        ...tlsContext(mode, client),
        validation_context: {
          trusted_ca: { filename: roots },
          match_typed_subject_alt_names: [{ san_type: "URI", matcher: { exact: spiffeId("server") } }],
        },
      },
    },
  };
  const http2 = {
    typed_extension_protocol_options: {
      "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": `${V3}.upstreams.http.v3.HttpProtocolOptions`,
        explicit_http_config: { http2_protocol_options: {} },
      },
    },
  };
  const peer = { ...cluster("peer", INBOUND), transport_socket: transportSocket, ...(mode === "hbone" ? http2 : {}) };
  return bootstrap({ address: "127.0.0.1", port: OUTBOUND, chain: { filters: [filter] } }, peer);
}

function inboundConfig(mode: Mode, { server, roots }: Credentials): Json {
  const transportSocket = {
    name: "tls",
    typed_config: {
      "@type": `${V3}.transport_sockets.tls.v3.DownstreamTlsContext`,
      require_client_certificate: true,
      common_tls_context: {
        ...tlsContext(mode, server),
        validation_context: {
          trusted_ca: { filename: roots },
          match_typed_subject_alt_names: [{ san_type: "URI", matcher: { exact: spiffeId("client") } }],
        },
      },
    },
  };
  const filter = mode === "hbone" ? connectServer("app") : tcpProxy("app", {});
  const chain = { transport_socket: transportSocket, filters: [filter] };
  return bootstrap({ address: SERVER_IP, port: INBOUND, chain }, cluster("app", APP_PORT));
}

function tlsContext(mode: Mode, { certificate, key }: CredentialFiles): Json {
  return {
    ...(mode === "hbone" ? { alpn_protocols: ["h2"] } : {}),
    tls_params: { tls_minimum_protocol_version: "TLSv1_3", tls_maximum_protocol_version: "TLSv1_3" },
    tls_certificates: [{ certificate_chain: { filename: certificate }, private_key: { filename: key } }],
  };
}

function tcpProxy(to: string, more: Json): Json {
  const type = `${V3}.filters.network.tcp_proxy.v3.TcpProxy`;
  const config = { "@type": type, stat_prefix: to, cluster: to, idle_timeout: "0s", ...more };
  return { name: "envoy.filters.network.tcp_proxy", typed_config: config };
}

/** Ends CONNECT streams and joins each to a connection of its own. */
function connectServer(to: string): Json {
  const upgrade = { upgrade_type: "CONNECT" };
  const route = { cluster: to, timeout: "0s", upgrade_configs: [{ ...upgrade, connect_config: {} }] };
  return {
    name: "envoy.filters.network.http_connection_manager",
    typed_config: {
      "@type": `${V3}.filters.network.http_connection_manager.v3.HttpConnectionManager`,
      stat_prefix: to,
      codec_type: "HTTP2",
      stream_idle_timeout: "0s",
      http2_protocol_options: { allow_connect: true, max_concurrent_streams: MANY },
      upgrade_configs: [upgrade],
      http_filters: [
        { name: "envoy.filters.http.router", typed_config: { "@type": `${V3}.filters.http.router.v3.Router` } },
      ],
      route_config: {
        virtual_hosts: [{ name: "all", domains: ["*"], routes: [{ match: { connect_matcher: {} }, route }] }],
      },
    },
  };
}

function cluster(name: string, port: number): Json {
  const address = { socket_address: { address: SERVER_IP, port_value: port } };
  return {
    name,
    type: "STATIC",
    connect_timeout: "5s",
    circuit_breakers: { thresholds: [{ max_connections: MANY, max_pending_requests: MANY, max_requests: MANY }] },
    load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints: [{ endpoint: { address } }] }] },
  };
}

function bootstrap(
  listener: { readonly address: string; readonly port: number; readonly chain: Json },
  upstream: Json,
): Json {
  const { address, port, chain } = listener;
  return {
    static_resources: {
      listeners: [
        {
          name: "proxy",
          tcp_backlog_size: 16_384,
          address: { socket_address: { address, port_value: port } },
          filter_chains: [chain],
        },
      ],
      clusters: [upstream],
    },
  };
}
