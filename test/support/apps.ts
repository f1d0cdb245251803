/** Small applications for scenarios, each one script that `node -e` runs in a container, and the pods that hold them. */

/**
 * A server with one port a behaviour: 8080 HTTP echo; 9000 speaks first; 9001 reads all, then answers length and
 * hash; 9002 sends, closes its half and reports what it still received on 9003; 9004 resets after the first byte;
 * 7070 on loopback only.
 */
export const SERVER = `
const http = require("http"), net = require("net"), { createHash } = require("crypto");
http.createServer((q, s) => { let b = ""; q.on("data", (d) => (b += d)); q.on("end", () => s.end(process.env.NAME + " " + q.socket.remoteAddress + " " + b)); }).listen(8080, "::");
net.createServer((c) => { c.on("error", () => {}); c.write("220 banner ready\\r\\n"); c.pipe(c); }).listen(9000, "::");
net.createServer({ allowHalfOpen: true }, (c) => { const h = createHash("sha256"); let n = 0; c.on("error", () => {}); c.on("data", (d) => { n += d.length; h.update(d); }); c.on("end", () => c.end(n + " " + h.digest("hex"))); }).listen(9001, "::");
let last = "";
net.createServer({ allowHalfOpen: true }, (c) => { const h = createHash("sha256"); let n = 0; c.on("error", () => {}); c.end("done first"); c.on("data", (d) => { n += d.length; h.update(d); }); c.on("end", () => (last = n + " " + h.digest("hex"))); }).listen(9002, "::");
net.createServer((c) => { c.on("error", () => {}); c.end(last); }).listen(9003, "::");
net.createServer((c) => { c.on("error", () => {}); c.once("data", () => c.resetAndDestroy()); }).listen(9004, "::");
net.createServer((c) => c.end("loopback")).listen(7070, "127.0.0.1");
`;

/** Waits for the end and does nothing. */
export const IDLE = `process.on("SIGTERM", () => process.exit(0)); setInterval(() => {}, 1 << 30);`;

export interface PodOptions {
  readonly script?: string;
  /** Instead of node with the script. */
  readonly command?: readonly string[];
  /** 1000 unless told. */
  readonly user?: number;
  readonly serviceAccount?: string;
  readonly labels?: Record<string, string>;
  readonly annotations?: Record<string, string>;
  readonly readyPort?: number;
  readonly hostname?: string;
}

export function namespace(name: string, labels: Record<string, string>): object {
  return { apiVersion: "v1", kind: "Namespace", metadata: { name, labels } };
}

export function serviceAccount(inNamespace: string, name: string): object {
  return { apiVersion: "v1", kind: "ServiceAccount", metadata: { namespace: inNamespace, name } };
}

export function pod(inNamespace: string, name: string, options: PodOptions = {}): object {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      namespace: inNamespace,
      name,
      labels: { app: name, ...options.labels },
      ...(options.annotations === undefined ? {} : { annotations: options.annotations }),
    },
    spec: {
      ...(options.serviceAccount === undefined ? {} : { serviceAccountName: options.serviceAccount }),
      terminationGracePeriodSeconds: 2,
      containers: [
        {
          name: "app",
          image: "node",
          command: options.command ?? ["node", "-e", options.script ?? IDLE],
          env: [{ name: "NAME", value: name }],
          securityContext: { runAsUser: options.user ?? 1000 },
          ...(options.readyPort === undefined
            ? {}
            : {
                readinessProbe: {
                  exec: {
                    command: [
                      "node",
                      "-e",
                      `require("net").connect(${options.readyPort}, "127.0.0.1").on("connect", () => process.exit(0)).on("error", () => process.exit(1))`,
                    ],
                  },
                  periodSeconds: 1,
                },
              }),
        },
      ],
    },
  };
}

export function service(
  inNamespace: string,
  name: string,
  ports: Readonly<Record<string, readonly [port: number, target: number]>>,
  options: { readonly headless?: boolean; readonly app?: string } = {},
): object {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { namespace: inNamespace, name },
    spec: {
      selector: { app: options.app ?? name },
      ipFamilyPolicy: "PreferDualStack",
      ...(options.headless === true ? { clusterIP: "None" } : {}),
      ports: Object.entries(ports).map(([portName, [port, target]]) => ({ name: portName, port, targetPort: target })),
    },
  };
}

/** A client script: sends `body` to an address, optionally half-closes, and prints what came back; exit code 3 on a reset, 4 on any other end without data. */
export function tcpClient(host: string, port: number, body: string, halfClose: boolean): readonly string[] {
  return [
    "node",
    "-e",
    `const c = require("net").connect({ host: ${JSON.stringify(host)}, port: ${port}, allowHalfOpen: true });
let got = ""; const t0 = process.hrtime.bigint();
c.on("data", (d) => { if (!got) process.stderr.write("first " + Number(process.hrtime.bigint() - t0) / 1e6 + "\\n"); got += d; });
c.on("error", (e) => { process.stdout.write(got); process.stderr.write(e.code + "\\n"); process.exit(e.code === "ECONNRESET" ? 3 : 4); });
c.on("end", () => { c.end(); process.stdout.write(got, () => process.exit(got ? 0 : 4)); });
c.on("connect", () => { const b = ${body}; ${halfClose ? "c.end(b);" : "if (b.length) c.write(b);"} });
setTimeout(() => { process.stdout.write(got, () => process.exit(got ? 0 : 5)); }, ${halfClose ? 20000 : 1500});`,
  ];
}
