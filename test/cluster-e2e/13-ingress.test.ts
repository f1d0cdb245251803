/** An ingress that terminates TLS for the outside and is meshed inside: behind it nothing is plaintext. */
import { expect } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ClusterNamespace, eventually, type Manifest, run } from "../support/cluster.ts";
import { cleanUp, holds, holdsInNode, Mesh, prepare } from "../support/mesh.ts";
import { app, podOf, server, service } from "../support/mesh-apps.ts";
import { certificate } from "../support/openssl.ts";

const HOST = "shop.example";
let mesh: Mesh;
let edge: ClusterNamespace;
let shop: ClusterNamespace;
let outside: ClusterNamespace;

prepare(async () => {
  mesh = await Mesh.find();
  edge = await mesh.meshed("edge", "permissive");
  shop = await mesh.meshed("shop", "strict");
  outside = await mesh.namespace("outside");
  await shop.apply(podOf("backend", server()), service("backend"));
  await outside.apply(podOf("browser", app(["idle"])));
  await shop.ready(["backend"]);
  const nginx = {
    ...app([]),
    name: "app",
    command: ["nginx", "-p", "/tmp", "-c", "/etc/edge/nginx.conf", "-g", "daemon off;"],
    ports: [{ name: "https", containerPort: 8443 }],
    readinessProbe: { httpGet: { path: "/healthz", port: 8443, scheme: "HTTPS" }, periodSeconds: 1 },
    volumeMounts: [{ name: "configuration", mountPath: "/etc/edge" }],
  };
  const volumes = [{ name: "configuration", configMap: { name: "nginx" } }];
  await edge.apply(configuration(), podOf("nginx", nginx, { spec: { volumes } }), {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "nginx" },
    spec: { selector: { app: "nginx" }, ports: [{ port: 443, targetPort: "https" }] },
  });
  await edge.ready(["nginx"]);
  await outside.ready(["browser"]);
});
cleanUp(async () => {
  for (const space of [edge, shop, outside]) await space?.[Symbol.asyncDispose]();
});

/** nginx as an ingress controller sets it up: by the backend's Service, a certificate of the site's own. */
function configuration(): Manifest {
  const conf = `
    pid /tmp/nginx.pid;
    error_log /dev/stderr;
    events {}
    http {
      access_log /dev/stdout;
      client_body_temp_path /tmp/body; proxy_temp_path /tmp/proxy;
      fastcgi_temp_path /tmp/fastcgi; uwsgi_temp_path /tmp/uwsgi; scgi_temp_path /tmp/scgi;
      server {
        listen 8443 ssl;
        listen [::]:8443 ssl;
        server_name ${HOST};
        ssl_certificate /etc/edge/tls.crt;
        ssl_certificate_key /etc/edge/tls.key;
        location = /healthz { return 200 "fine"; }
        location / { proxy_pass http://backend.${shop.name}.svc.cluster.local; proxy_http_version 1.1; }
      }
    }`;
  return {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: "nginx" },
    data: { "nginx.conf": conf, ...siteCertificate() },
  };
}

function siteCertificate(): { "tls.crt": string; "tls.key": string } {
  const folder = mkdtempSync(join(tmpdir(), "tulle-edge-"));
  try {
    const files = { key: join(folder, "key"), crt: join(folder, "crt") };
    certificate(files, `/CN=${HOST}`, "-addext", `subjectAltName=DNS:${HOST}`);
    return { "tls.crt": readFileSync(files.crt, "utf8"), "tls.key": readFileSync(files.key, "utf8") };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function browse(target: string, body: string): string[] {
  const ip = target.includes(":") ? `[${target}]` : target;
  return ["curl", "-sS", "-k", "-m", "10", "--fail", "--resolve", `${HOST}:443:${ip}`, "-d", body, `https://${HOST}/`];
}

holds("a request from outside comes by the site's TLS, goes on by mTLS, and is nowhere plaintext", async () => {
  const target = await edge.get("service/nginx", ".spec.clusterIP");
  await eventually(() => outside.exec("browser", ...browse(target, "first")));
  const marker = `order-${crypto.randomUUID()}`;
  let answer = "";
  const wire = await mesh.capture(async () => {
    const inbound = await mesh.growth(shop, "backend", "inbound mtls", async () => {
      const outbound = await mesh.growth(edge, "nginx", "outbound mtls", async () => {
        answer = await outside.exec("browser", ...browse(target, marker));
      });
      expect(outbound).toBe(1);
    });
    expect(inbound).toBe(1);
  });
  expect(answer).toStartWith("backend ");
  expect(answer).toContain(marker);
  if (wire !== undefined) expect(wire.includes(marker)).toBe(false);
});

holds("what comes from outside is counted as such at the edge, and nothing behind it is", async () => {
  expect((await mesh.connections(edge, "nginx")).get("inbound plaintext-permissive")).toBeGreaterThan(0);
  for (const reason of ["inbound plaintext-permissive", "inbound refused-strict"]) {
    expect((await mesh.connections(shop, "backend")).get(reason)).toBeUndefined();
  }
  expect((await mesh.connections(edge, "nginx")).get("outbound plaintext-unmeshed")).toBeUndefined();
});

holds("past the edge the backend is out of reach from outside", async () => {
  const target = await shop.get("service/backend", ".spec.clusterIP");
  const tried = await outside.tryKubectl(["exec", "browser", "--", "curl", "-sS", "-m", "5", `http://${target}/`]);
  expect(tried.stderr).toMatch(/exit code (7|52|56)/);
});

holdsInNode("the machine beside the cluster reaches the site too", async () => {
  const target = await edge.get("service/nginx", ".spec.clusterIP");
  expect(await run(browse(target, "from the machine"))).toContain("from the machine");
});
