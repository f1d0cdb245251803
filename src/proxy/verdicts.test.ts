/**
 * What each end makes of a peer's TLS. These pin the behaviour of Bun's TLS that judge.ts relies on: a new version of Bun
 * must not change a verdict unseen. In TLS 1.3 only the judging end knows why it refused, so the reason is read there.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type Made, makeCertificate } from "../identity/bent-certificate.fixture.ts";
import { pemEncode } from "../identity/index.ts";
import { PORTS, type Reason } from "../mesh/index.ts";
import { drained, LoopbackMesh, type LoopbackPod, makeAuthority } from "../testkit/loopback-mesh.ts";
import { issueIdentity } from "../testkit/mesh-identity.ts";
import { connectTls, type TlsPeerIdentity, type TlsPeerOptions, TlsServer } from "../testkit/tls-peer.ts";

const PEER = "spiffe://cluster.local/ns/shop/sa/peer";
const HOUR = 3_600_000;
/** SSL_OP_NO_TLSv1_3, and all versions that a peer of ours may not use are left on. */
const NO_TLS_1_3 = 0x20000000;
/** A port of peers that the proxies dial and behind which a test listens. */
const PEER_HBONE = 25_008;

let mesh: LoopbackMesh;
/** A second root of the trust bundle, whose certificates a test can bend. */
const root = makeCertificate({ ca: true, pathLength: 1 });
const intermediate = makeCertificate({ ca: true, pathLength: 0 }, root);

beforeAll(async () => {
  mesh = await LoopbackMesh.start();
  mesh.operator.moreRoots.push(root.der);
});
afterAll(async () => {
  await mesh.stop();
});

function pem(...made: Made[]): string {
  return made.map(({ der }) => pemEncode("CERTIFICATE", der)).join("");
}

/** A certificate that the trust bundle vouches for, bent as the case wants it. */
function bent(bend: Parameters<typeof makeCertificate>[0], ...issuers: Made[]): TlsPeerIdentity {
  const chain = issuers.length === 0 ? [root] : issuers;
  const leaf = makeCertificate(bend, chain[0]);
  const sent = chain.filter((one) => one !== root);
  return { cert: pem(leaf, ...sent), key: leaf.key.privateKeyPem(), ca: pem(root) };
}

interface Case {
  readonly name: string;
  readonly peer: () => TlsPeerIdentity;
  readonly options?: TlsPeerOptions;
  readonly asClient: Reason | "accepted";
  readonly asServer: Reason | "accepted";
  readonly detail: RegExp;
}

const soon = () => Date.now() + HOUR;
const CASES: readonly Case[] = [
  {
    name: "of the mesh's authority",
    peer: () => issueIdentity(mesh.authority, PEER),
    asClient: "accepted",
    asServer: "accepted",
    detail: /^$/,
  },
  {
    name: "of the second root of the bundle, as while the root is rotated",
    peer: () => bent({ uris: [PEER] }),
    asClient: "accepted",
    asServer: "accepted",
    detail: /^$/,
  },
  {
    name: "with its intermediate",
    peer: () => bent({ uris: [PEER] }, intermediate),
    asClient: "accepted",
    asServer: "accepted",
    detail: /^$/,
  },
  {
    name: "without its intermediate",
    peer: () => {
      const leaf = makeCertificate({ uris: [PEER] }, intermediate);
      return { cert: pem(leaf), key: leaf.key.privateKeyPem(), ca: pem(root) };
    },
    asClient: "refused-untrusted",
    asServer: "refused-untrusted",
    detail: /^UNABLE_TO_(GET_ISSUER_CERT(_LOCALLY)?|VERIFY_LEAF_SIGNATURE)$/,
  },
  {
    name: "of another CA",
    peer: () => issueIdentity(makeAuthority(), PEER),
    asClient: "refused-untrusted",
    asServer: "refused-untrusted",
    detail: /^UNABLE_TO_(GET_ISSUER_CERT(_LOCALLY)?|VERIFY_LEAF_SIGNATURE)$/,
  },
  {
    name: "that signed itself",
    peer: () => {
      const leaf = makeCertificate({ uris: [PEER] });
      return { cert: pem(leaf), key: leaf.key.privateKeyPem(), ca: pem(root) };
    },
    asClient: "refused-untrusted",
    asServer: "refused-untrusted",
    detail: /^(DEPTH_ZERO_SELF_SIGNED_CERT|UNABLE_TO_.*)$/,
  },
  {
    name: "40: that expired",
    peer: () => bent({ uris: [PEER], notBefore: Date.now() - 2 * HOUR, notAfter: Date.now() - HOUR }),
    asClient: "refused-expired",
    asServer: "refused-expired",
    detail: /^CERT_HAS_EXPIRED$/,
  },
  {
    name: "40: that is not yet valid",
    peer: () => bent({ uris: [PEER], notBefore: soon(), notAfter: soon() + HOUR }),
    asClient: "refused-expired",
    asServer: "refused-expired",
    detail: /^CERT_NOT_YET_VALID$/,
  },
  {
    name: "39: with two URI names (X509-SVID §2)",
    peer: () => bent({ uris: [PEER, "spiffe://cluster.local/ns/shop/sa/other"] }),
    asClient: "refused-untrusted",
    asServer: "refused-untrusted",
    detail: /it has 2 URI names/,
  },
  {
    name: "with a DNS name and no URI",
    peer: () => bent({ dns: ["peer.shop.svc"] }),
    asClient: "refused-untrusted",
    asServer: "refused-untrusted",
    detail: /it has 0 URI names/,
  },
  {
    name: "with a URI that is no SPIFFE ID",
    peer: () => bent({ uris: ["https://cluster.local/ns/shop/sa/peer"] }),
    asClient: "refused-untrusted",
    asServer: "refused-untrusted",
    detail: /is not a SPIFFE ID/,
  },
  {
    name: "that may sign others",
    peer: () => bent({ ca: true, uris: [PEER], usage: ["digitalSignature", "keyCertSign"] }),
    asClient: "refused-untrusted",
    asServer: "refused-untrusted",
    detail: /it is a CA's certificate/,
  },
  {
    name: "37: of another trust domain, signed by a root that is trusted",
    peer: () => bent({ uris: ["spiffe://other.domain/ns/shop/sa/peer"] }),
    asClient: "refused-untrusted",
    asServer: "refused-identity-mismatch",
    detail: /^another trust domain$|^expected spiffe:/,
  },
  {
    name: "38: of another workload",
    peer: () => bent({ uris: ["spiffe://cluster.local/ns/shop/sa/another"] }),
    asClient: "accepted",
    asServer: "refused-identity-mismatch",
    detail: /^expected spiffe:\/\/cluster\.local\/ns\/shop\/sa\/peer$/,
  },
  {
    name: "without ALPN",
    peer: () => bent({ uris: [PEER] }),
    options: { alpn: "" },
    asClient: "failed-handshake",
    asServer: "failed-handshake",
    detail: /^no ALPN h2$/,
  },
  {
    name: "with ALPN http/1.1 alone",
    peer: () => bent({ uris: [PEER] }),
    options: { alpn: "http/1.1" },
    asClient: "failed-handshake",
    asServer: "failed-handshake",
    detail: /NO_APPLICATION_PROTOCOL$/,
  },
  {
    name: "35: that speaks TLS 1.2 at most",
    peer: () => bent({ uris: [PEER] }),
    options: { secureOptions: NO_TLS_1_3 },
    asClient: "failed-handshake",
    asServer: "failed-handshake",
    detail: /UNSUPPORTED_PROTOCOL$|ALERT_PROTOCOL_VERSION$/,
  },
];

function refusals(pod: LoopbackPod, direction: "inbound" | "outbound", reason: Reason): number {
  return pod.sidecar.metrics.of(direction, reason);
}

describe("a client on 15008", () => {
  let pod: LoopbackPod;
  beforeAll(async () => {
    pod = mesh.pod("judge");
    await pod.start();
  });

  test.each(CASES)("$name: $asClient", async ({ peer, options, asClient, detail }) => {
    const { metrics } = pod.sidecar;
    const before = { ok: metrics.inbound.handshakes, failed: metrics.inbound.handshakesFailed };
    const lines = pod.logger.of("connection").length;
    if (asClient === "accepted") {
      const client = await connectTls(pod.ip, PORTS.hbone, peer(), options);
      await client.log.until(/^ready$/);
      expect(metrics.inbound.handshakes).toBe(before.ok + 1);
      client.destroy();
      await client.closed.promise;
      return;
    }
    const count = refusals(pod, "inbound", asClient);
    const client = await connectTls(pod.ip, PORTS.hbone, peer(), { ...options, mute: true });
    await client.closed.promise;
    const { level, fields } = await pod.logger.nth("connection", lines + 1);
    expect(fields).toMatchObject({ direction: "inbound", reason: asClient, destination: `${pod.ip}:${PORTS.hbone}` });
    expect(String(fields["detail"])).toMatch(detail);
    expect(level).toBe(asClient.startsWith("refused") ? "warn" : "info");
    expect(refusals(pod, "inbound", asClient)).toBe(count + 1);
    expect(metrics.inbound).toMatchObject({ handshakes: before.ok, handshakesFailed: before.failed + 1 });
    expect(Buffer.concat(client.bytes)).toHaveLength(0);
  });

  test("36: without a certificate: refused-untrusted", async () => {
    const count = refusals(pod, "inbound", "refused-untrusted");
    const lines = pod.logger.of("connection").length;
    const client = await connectTls(pod.ip, PORTS.hbone, {}, { mute: true });
    await client.closed.promise;
    const { fields } = await pod.logger.nth("connection", lines + 1);
    expect(fields).toMatchObject({ reason: "refused-untrusted", detail: "no certificate" });
    expect(refusals(pod, "inbound", "refused-untrusted")).toBe(count + 1);
  });

  test("41: an intermediate that the proxy presents lets a client verify it with the root alone", async () => {
    const client = await connectTls(pod.ip, PORTS.hbone, issueIdentity(mesh.authority, PEER));
    await client.log.until(/^ready$/);
    expect(client.verdict?.code).toBe("ERR_TLS_CERT_ALTNAME_INVALID");
    client.destroy();
  });
});

describe("a server that the proxy dials", () => {
  let pod: LoopbackPod;
  beforeAll(async () => {
    pod = mesh.pod("dialler", PEER_HBONE);
    await pod.start();
  });

  test.each(CASES)("$name: $asServer", async ({ peer, options, asServer, detail }) => {
    const target = mesh.pod("peer");
    using server = new TlsServer(
      target.ip,
      PEER_HBONE,
      { ...peer(), ca: mesh.authority.bundle().pem() },
      {
        ...options,
        mute: asServer !== "accepted",
        serve: (stream) => {
          stream.respond([[":status", "200"]]);
          stream.end();
          return undefined;
        },
      },
    );
    const lines = pod.logger.of("connection").length;
    const reason = asServer === "accepted" ? "mtls" : asServer;
    const count = refusals(pod, "outbound", reason);
    const socket = pod.dial(target.ip, 80);
    socket.end("secret of the application");
    const { end } = await drained(socket);
    expect(end).toBe(asServer === "accepted" ? "fin" : "ECONNRESET");
    const { fields } = await pod.logger.nth("connection", lines + 1);
    expect(fields).toMatchObject({ direction: "outbound", reason, destination: `${target.ip}:80` });
    expect(String(fields["detail"] ?? "")).toMatch(detail);
    expect(refusals(pod, "outbound", reason)).toBe(count + 1);
    if (asServer === "accepted") return;
    // Not a byte leaves before the verdict: the peer has got nothing, not even the preface of HTTP/2.
    for (const one of server.peers) expect(Buffer.concat(one.bytes)).toHaveLength(0);
  });
});
