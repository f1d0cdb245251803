/** `tulle play` in real namespaces: the example of the notes, its commands, and that nothing is left however it ends. */
import { describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { machine, ROOT, sh, TULLE, until } from "../support/machine.ts";
import { eachInFolder, type PlayFolder, simplePod } from "../support/play-folder.ts";

let play: PlayFolder;
let before = "";

eachInFolder((folder, machineBefore) => {
  play = folder;
  before = machineBefore;
});

const running = (name = "Running") => until("the pod", () => play.tulle("get", "pods").stdout.includes(name));

describe("the example that the project grew from", () => {
  test("lists three empty chains in the container with NET_ADMIN", async () => {
    const started = play.start("--no-inject", join(ROOT, "examples/app.yaml"));
    const log = await until("the chains", () => {
      const said = play.tulle("logs", "app", "-c", "proxy").stdout;
      return said.includes("Chain OUTPUT") && said;
    });
    for (const chain of ["INPUT", "FORWARD", "OUTPUT"]) expect(log).toContain(`Chain ${chain} (policy ACCEPT)`);
    expect(log).not.toContain("15001");
    expect(play.tulle("stop").stdout).toContain("nothing is left");
    expect(await started.exited).toBe(0);
  });

  test("a container without NET_ADMIN cannot list the chains of its own pod", async () => {
    play.start("--no-inject", play.manifest(simplePod("app", ["sleep", "600"])));
    await running();
    const denied = play.tulle("exec", "app", "--", "iptables", "-L");
    expect(denied.code).not.toBe(0);
    expect(denied.stderr).toContain("ermission denied");
  });

  test("left to Tulle, its init container shows the chains that do the routing", async () => {
    play.start(join(ROOT, "examples/app-meshed.yaml"));
    const log = await until("the chains", () => {
      const said = play.tulle("logs", "app", "-c", "tulle-init").stdout;
      return said.includes("15006") && said.includes("15001") && said;
    });
    expect(log).toMatch(/REDIRECT .*15001/);
    expect(log).toContain("-A TULLE_OUTPUT -o lo -j RETURN\n");
    expect(log.split("\n").filter((line) => line.length > 100)).toEqual([]);
    await until("the sidecar", () => play.tulle("logs", "app", "-c", "tulle-proxy").stdout.includes('"ready"'));
  });
});

describe("the mesh", () => {
  test("reaches an application that listens on IPv4 alone through its Service", async () => {
    const serve = 'require("http").createServer((q, s) => s.end("from four")).listen(8080, "0.0.0.0")';
    const web = simplePod("web", ["node", "-e", serve], { ports: [{ name: "http", containerPort: 8080 }] });
    const spec = { selector: { app: "web" }, ports: [{ port: 80, targetPort: "http" }] };
    const service = { apiVersion: "v1", kind: "Service", metadata: { name: "web" }, spec };
    play.start(play.manifest(web, service, simplePod("client", ["sleep", "600"])));
    const ready = /^client +2\/2 /m;
    await until("both pods", () => {
      const { stdout } = play.tulle("get", "pods");
      return ready.test(stdout) && /^web +2\/2 /m.test(stdout);
    });
    const got = play.tulle("exec", "client", "--", "curl", "-sS", "--max-time", "5", "http://web");
    expect(got).toMatchObject({ code: 0, stdout: "from four" });
  });
});

describe("a running play", () => {
  test("shows pods, runs commands, passes exit codes on, applies and deletes", async () => {
    play.start("--no-inject", play.manifest(simplePod("one", ["sleep", "600"])));
    await running();
    expect(play.tulle("exec", "one", "--", "sh", "-c", "exit 7").code).toBe(7);
    const written = play.tulle("exec", "one", "--", "sh", "-c", "touch /tulle-was-here && ls /tulle-was-here");
    expect(written.stdout).toContain("/tulle-was-here");
    expect(sh(["ls", "/tulle-was-here"]).code).not.toBe(0);
    const second = play.manifest(simplePod("two", ["sh", "-c", "echo from-two; sleep 600"]));
    expect(play.tulle("apply", "-f", second).stdout).toContain("pod/two created");
    await until("pod two", () => play.tulle("logs", "two").stdout.includes("from-two"));
    const listed = JSON.parse(play.tulle("get", "pods", "two", "-o", "json").stdout) as { ips: string[] }[];
    const ip = String(listed[0]?.ips[0]);
    expect(play.tulle("exec", "one", "--", "ping", "-c1", "-W2", ip).stdout).toContain("1 received");
    expect(play.tulle("delete", "pod", "two", "--grace-period", "0").stdout).toContain("pod/two deleted");
    await until("pod two to go", () => !play.tulle("get", "pods").stdout.includes("two"));
    expect(play.tulle("get", "pods", "two").code).toBe(1);
    expect(play.tulle("delete", "gadget", "two").code).toBe(2);
  });

  test("is waited for while it starts, and stopped while it starts", async () => {
    const file = play.manifest(simplePod("one", ["sh", "-c", "echo up; sleep 600"]));
    const record = join(String(play.env["TULLE_STATE_DIR"]), "runner.json");
    play.start("--no-inject", file);
    await until("the first sign of life", () => existsSync(record));
    expect(play.tulle("logs", "-n", "default", "two").stderr).toContain("there is no pod two");
    await running();
    expect(play.tulle("stop").code).toBe(0);
    const second = play.start("--no-inject", file);
    await until("the first sign of life", () => existsSync(record));
    expect(play.tulle("stop")).toMatchObject({ code: 0, stderr: "" });
    expect(await second.exited).toBe(0);
  });

  test("deletes what is there and then says what is not, unless told to ignore that", async () => {
    const objects = [simplePod("one", ["sleep", "600"]), simplePod("two", ["sleep", "600"])];
    play.start("--no-inject", play.manifest(...objects));
    await running();
    expect(play.tulle("delete", "pod", "two", "--grace-period", "0").code).toBe(0);
    const both = play.manifest(...objects);
    const deleted = play.tulle("delete", "--grace-period", "0", "-f", both);
    expect([deleted.code, deleted.stdout]).toEqual([1, "pod/one deleted\n"]);
    expect(deleted.stderr).toContain("there is no Pod two in namespace default");
    for (const words of [
      ["pod", "two"],
      ["-f", both],
    ]) {
      expect(play.tulle("delete", "--ignore-not-found", ...words)).toEqual({ code: 0, stdout: "", stderr: "" });
    }
    expect(play.tulle("delete").code).toBe(2);
  });

  // Longer than Bun's idle timeout of 10 s, whose end came after up to 12 s.
  test("follows a log that is silent for 13 s, from before its container starts", async () => {
    const late = "sleep 13; echo late; sleep 600";
    const slow = { name: "slow", image: "x", command: ["sleep", "1"] };
    const teller = {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "teller" },
      spec: { initContainers: [slow], containers: [{ name: "app", image: "x", command: ["sh", "-c", late] }] },
    };
    const started = play.start("--no-inject", play.manifest(teller));
    await until("the pod", () => play.tulle("get", "pods").stdout.includes("Init"));
    const follower = Bun.spawn([TULLE, "logs", "-f", "teller"], { env: play.env, stdout: "pipe", stderr: "pipe" });
    const { value } = await follower.stdout.getReader().read();
    expect(new TextDecoder().decode(value)).toBe("late\n");
    started.kill("SIGKILL");
    expect(await follower.exited).toBe(1);
    expect(await new Response(follower.stderr).text()).toBe("tulle: the play has ended\n");
  }, 30_000);

  test("says why a pod is not ready, in the sidecar's words too, and ends without a complaint", async () => {
    const probe = { httpGet: { port: 8080 }, periodSeconds: 1 };
    const file = play.manifest(simplePod("slow", ["sleep", "600"], { readinessProbe: probe }));
    const waited = play.tulle("play", "-d", "--egress", "none", "--wait-timeout", "8", file);
    expect([waited.code, waited.stderr]).toEqual([1, expect.stringContaining("default/slow: Running; container app")]);
    const listed = play.tulle("get", "pods");
    expect(listed.stdout).toMatch(/^slow +1\/2 +Running/m);
    expect(listed.stderr).toMatch(
      /^! slow: container app is not ready: HTTP probe failed with status 503: [\s\S]*ECONNREFUSED/,
    );
    expect(play.tulle("exec", "slow", "--", "nosuch").code).toBe(127);
    expect(play.tulle("exec", "slow", "--", "/etc/passwd").code).toBe(126);
    expect(play.tulle("exec", "slow", "--", "sh", "-c", "exit 255").code).toBe(255);
    const services = play.tulle("get", "services", "-A").stdout;
    expect(services).toMatch(/^tulle-system +tulle-operator .* 1 +\d+s$/m);
    expect(services).not.toMatch(/ 0s$/m);
    const wrong = play.tulle("apply", "-f", play.manifest({ apiVersion: "v1", kind: "Gadget" }));
    expect([wrong.code, wrong.stderr]).toEqual([2, expect.stringContaining("Nothing was changed.")]);
    expect(play.tulle("stop").code).toBe(0);
  }, 30_000);

  test("asked to end, says nothing of how its containers end", async () => {
    const started = play.start("--no-inject", play.manifest(simplePod("deaf", ["sleep", "600"])));
    await running();
    started.kill("SIGINT");
    await started.exited;
    const said = await new Response(started.stdout).text();
    expect(said.split("stopping…\n")[1]).toBe("stopped; nothing is left\n");
    expect(said).not.toContain("✗");
  });

  test("says why a command that is not there does not start (get pods, back-off)", async () => {
    play.start("--no-inject", play.manifest(simplePod("lost", ["no-such-command"])));
    const shown = await until("the reason", () => {
      const [one] = JSON.parse(play.tulle("get", "pods", "-o", "json").stdout || "[]") as { status: string }[];
      return one !== undefined && /CrashLoopBackOff|RunContainerError|StartError/.test(one.status) && one;
    });
    expect(JSON.stringify(shown)).toContain("no-such-command");
  });

  test("keeps a second play beside it from starting (exit code 1)", async () => {
    play.start("--no-inject", play.manifest(simplePod("one", ["sleep", "600"])));
    await running();
    const two = play.manifest(simplePod("two", ["sleep", "600"]));
    const second = play.tulle("play", "--no-inject", "--egress", "none", two);
    expect(second.code).toBe(1);
    expect(second.stderr).toContain("tulle stop");
  });

  test("leaves nothing after kill -9: `stop` and the next play clean up its state", async () => {
    const file = play.manifest(simplePod("one", ["sleep", "600"]));
    for (const way of ["stop", "next play"] as const) {
      const killed = play.start("--no-inject", file);
      await running();
      killed.kill("SIGKILL");
      await killed.exited;
      await until("its processes to be gone", () => play.processes().length === 0);
      expect(machine()).toBe(before);
      if (way === "stop") {
        expect(play.tulle("stop")).toEqual({
          code: 0,
          stdout: "the play had been killed; what it left is gone\n",
          stderr: "",
        });
        expect(play.tulle("stop").code).toBe(1);
      }
    }
    play.start("--no-inject", file);
    await running();
    expect(play.tulle("stop").code).toBe(0);
  });

  test("ends orderly on Ctrl-C", async () => {
    const started = play.start("--no-inject", play.manifest(simplePod("one", ["sleep", "600"])));
    await running();
    started.kill("SIGINT");
    expect(await started.exited).toBe(0);
    expect(play.tulle("get", "pods").code).toBe(1);
  });

  test("ends when the wait for its pods is given up", async () => {
    const never = simplePod("one", ["sleep", "600"], { readinessProbe: { exec: { command: ["false"] } } });
    const started = play.start("--detach", "--no-inject", play.manifest(never));
    await running();
    started.kill("SIGINT");
    expect(await started.exited).toBe(1);
    expect(play.tulle("get", "pods").code).toBe(1);
  });

  test("goes on when nobody reads what it prints", async () => {
    const file = play.manifest(simplePod("one", ["sleep", "600"]));
    expect(play.tulle("play", "--detach", "--egress", "none", file).code).toBe(0);
    const more = play.manifest(simplePod("two", ["sleep", "600"]));
    expect(play.tulle("apply", "-f", more).code).toBe(0);
    await until("pod two", () => play.tulle("get", "pods", "two").stdout.includes("2/2"));
    expect(play.tulle("stop").stdout).toContain("nothing is left");
  });
});
