/** What the local node does with a manifest, as Kubernetes would: order, restarts, rollouts, names, users, files. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { machine, TULLE, until } from "../support/machine.ts";
import { PlayFolder } from "../support/play-folder.ts";

let play: PlayFolder;
let before = "";

const pod = (name: string, spec: object, metadata: object = {}) => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name, labels: { app: name }, ...metadata },
  spec: { terminationGracePeriodSeconds: 1, ...spec },
});
const sh = (script: string, more: object = {}) => ({ name: "app", image: "x", command: ["sh", "-c", script], ...more });
const answering = (word: string) => ({
  name: "app",
  image: "x",
  command: [
    "node",
    "-e",
    `require("http").createServer((q, s) => s.end(process.env.HOSTNAME + " ${word}")).listen(8080, "::")`,
  ],
  ports: [{ name: "http", containerPort: 8080 }],
  readinessProbe: { tcpSocket: { port: "http" }, periodSeconds: 1 },
});
const web = (word: string, replicas = 2) => ({
  apiVersion: "apps/v1",
  kind: "Deployment",
  metadata: { name: "web" },
  spec: {
    replicas,
    selector: { matchLabels: { app: "web" } },
    template: {
      metadata: { labels: { app: "web" } },
      spec: { terminationGracePeriodSeconds: 1, containers: [answering(word)] },
    },
  },
});
const service = (name: string, spec: object = {}) => ({
  apiVersion: "v1",
  kind: "Service",
  metadata: { name },
  spec: { selector: { app: "web" }, ports: [{ port: 80, targetPort: "http" }], ...spec },
});

interface PodJson {
  readonly name: string;
  readonly status: string;
  readonly restarts: number;
}
const pods = () => JSON.parse(play.tulle("get", "pods", "-o", "json").stdout || "[]") as PodJson[];
const logs = (name: string, ...more: string[]) => play.tulle("logs", name, ...more).stdout;
const client = (...command: string[]) => play.tulle("exec", "client", "--", ...command);

beforeAll(async () => {
  before = machine();
  play = new PlayFolder();
  play.start(
    "--no-inject",
    play.manifest(
      { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "words" }, data: { GREETING: "hello", other: "x" } },
      pod("client", { containers: [sh("sleep 600")] }),
      pod("ordered", {
        initContainers: [
          { ...sh("sleep 0.2; echo one >>/shared/order"), name: "one" },
          { ...sh("echo two >>/shared/order; exec sleep 600"), name: "two", restartPolicy: "Always" },
          { ...sh("sleep 0.1; echo three >>/shared/order"), name: "three" },
        ].map((one) => ({ ...one, volumeMounts: [{ name: "shared", mountPath: "/shared" }] })),
        containers: [sh("cat /shared/order; sleep 600", { volumeMounts: [{ name: "shared", mountPath: "/shared" }] })],
        volumes: [{ name: "shared", emptyDir: {} }],
      }),
      pod("done", { restartPolicy: "Never", containers: [sh("echo finished")] }),
      pod("failed", { restartPolicy: "Never", containers: [sh("exit 3")] }),
      pod("again", { restartPolicy: "OnFailure", containers: [sh("echo run; [ -e /dev/shm/x ]; exit 1")] }),
      pod("hung", {
        containers: [
          sh("sleep 600", {
            livenessProbe: {
              exec: { command: ["sleep", "600"] },
              periodSeconds: 1,
              timeoutSeconds: 1,
              failureThreshold: 1,
            },
          }),
        ],
      }),
      pod("facts", {
        containers: [
          sh('echo "$GREETING/$NAME/$MADE"; id -u; grep CapEff /proc/self/status; echo done; sleep 600', {
            envFrom: [{ configMapRef: { name: "words" } }],
            env: [
              { name: "NAME", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } },
              { name: "MADE", value: "$(NAME)-$(GREETING)" },
            ],
            securityContext: { runAsUser: 1234, capabilities: { drop: ["ALL"] } },
          }),
        ],
      }),
      web("first"),
      service("web"),
      service("both", { ipFamilyPolicy: "PreferDualStack" }),
      service("headless", { clusterIP: "None" }),
      service("headless-both", { clusterIP: "None", ipFamilyPolicy: "RequireDualStack" }),
    ),
  );
  await until("the pods", () => play.tulle("get", "deployments").stdout.includes("2/2"));
}, 60_000);

afterAll(async () => {
  await play[Symbol.asyncDispose]();
  expect(machine()).toBe(before);
});

describe("containers", () => {
  test("start in order: init containers one by one, a native sidecar goes on, then the application", async () => {
    await until("the application", () => logs("ordered").includes("three"));
    expect(logs("ordered")).toBe("one\ntwo\nthree\n");
    expect(play.tulle("get", "pods", "ordered").stdout).toMatch(/2\/2 +Running/);
  });

  test("are restarted or not as restartPolicy says, with back-off", async () => {
    await until("the end", () => pods().find((one) => one.name === "failed")?.status === "Error");
    expect(pods().find((one) => one.name === "done")?.status).toBe("Completed");
    expect(logs("done")).toBe("finished\n");
    const again = await until("a restart", () => pods().find((one) => one.name === "again" && one.restarts > 0));
    expect(again.status).toMatch(/CrashLoopBackOff|Error|Running|ContainerCreating/);
    expect(logs("again", "--previous")).toBe("run\n");
  });

  test("are restarted when the command of a liveness probe hangs", async () => {
    await until("a restart", () => pods().find((one) => one.name === "hung" && one.restarts > 0));
  });

  test("get environment, user and capabilities as the manifest says", async () => {
    await until("the facts", () => logs("facts").includes("done"));
    expect(logs("facts").split("\n").slice(0, 3)).toEqual([
      "hello/facts/facts-hello",
      "1234",
      "CapEff:\t0000000000000000",
    ]);
  });

  test("are followed by logs -f until they end", async () => {
    expect(
      play.tulle(
        "apply",
        "-f",
        play.manifest(
          pod("teller", { restartPolicy: "Never", containers: [sh("for i in 1 2 3; do echo $i; sleep 0.1; done")] }),
        ),
      ).code,
    ).toBe(0);
    await until("its start", () => play.tulle("logs", "teller").code === 0);
    expect(play.tulle("logs", "-f", "teller").stdout).toBe("1\n2\n3\n");
  });

  test("end within their grace: SIGTERM first, SIGKILL at its end", async () => {
    const deaf = pod("deaf", { containers: [sh("trap '' TERM; while :; do sleep 0.1; done")] });
    play.tulle("apply", "-f", play.manifest(deaf));
    await until("it to run", () => play.tulle("get", "pods", "deaf").stdout.includes("Running"));
    const began = Date.now();
    expect(play.tulle("delete", "pod", "deaf").code).toBe(0);
    expect(Date.now() - began).toBeGreaterThan(900);
    expect(Date.now() - began).toBeLessThan(8000);
  });
});

describe("services", () => {
  const answers = (host: string) => {
    const counts = new Map<string, number>();
    for (const line of client("sh", "-c", `for i in $(seq 24); do curl -sS --max-time 5 ${host}; echo; done`)
      .stdout.trim()
      .split("\n")) {
      counts.set(line, (counts.get(line) ?? 0) + 1);
    }
    return counts;
  };

  test.each(["web", "web.default", "web.default.svc.cluster.local"])(
    "balance over their pods by the name %s",
    (host) => {
      const counts = answers(host);
      expect(counts.size).toBe(2);
      for (const [word, count] of counts) {
        expect(word).toMatch(/^web-\w+-\w+ first$/);
        expect(count).toBeGreaterThan(2);
      }
    },
  );

  const resolved = (host: string) => [
    ...new Set(
      client("getent", "ahosts", host)
        .stdout.trim()
        .split("\n")
        .map((line) => line.split(/ +/)[0] ?? ""),
    ),
  ];

  test("have IPv4 alone unless they ask for both families (ipFamilyPolicy)", () => {
    expect(resolved("web").map((ip) => ip.includes(":"))).toEqual([false]);
    expect(
      resolved("both")
        .map((ip) => ip.includes(":"))
        .sort(),
    ).toEqual([false, true]);
  });

  test("answer under a headless name with the pods' own addresses, of the Service's families", () => {
    const pods = JSON.parse(play.tulle("get", "pods", "-o", "json").stdout) as { name: string; ips: string[] }[];
    const ips = pods.filter((one) => one.name.startsWith("web-")).flatMap((one) => one.ips);
    expect(resolved("headless-both").sort()).toEqual([...ips].sort());
    expect(resolved("headless").sort()).toEqual(ips.filter((ip) => !ip.includes(":")).sort());
  });

  test("a rolling update replaces the pods without a failed request", async () => {
    const loop = "for i in $(seq 60); do curl -sS --max-time 5 web || echo FAILED; echo; sleep 0.05; done";
    const load = Bun.spawn([TULLE, "exec", "client", "--", "sh", "-c", loop], {
      env: play.env,
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    expect(play.tulle("apply", "-f", play.manifest(web("second"))).stdout).toContain("deployment/web configured");
    const said = await new Response(load.stdout).text();
    expect(said).not.toContain("FAILED");
    await until("the new pods alone", () => [...answers("web").keys()].every((word) => word.endsWith("second")));
  });

  test("scale down to nothing: connections are refused at once", async () => {
    play.tulle("apply", "-f", play.manifest(web("second", 0)));
    await until("no pods", () => !play.tulle("get", "pods").stdout.includes("web-"));
    expect(client("curl", "-sS", "--max-time", "5", "web").stderr).toMatch(/refused|Failed to connect/);
  });
});
