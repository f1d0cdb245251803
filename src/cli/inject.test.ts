import { describe, expect, test } from "bun:test";
import { resolve } from "node:path";

const ROOT = resolve(import.meta.dir, "../..");
const POD = `# mine
apiVersion: v1
kind: Pod
metadata:
  name: app
  annotations: {tulle.dev/skip-outbound-port: "80"}
spec:
  containers:
    - {name: app, image: x, livenessProbe: {tcpSocket: {port: 80}}}
`;

async function tulle(args: readonly string[], stdin: string) {
  const child = Bun.spawn([process.execPath, "src/main.ts", ...args], {
    cwd: ROOT,
    stdin: Buffer.from(stdin),
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { stdout, stderr, code };
}

describe("on the command line", () => {
  test("uninject gives back what inject was given; both say on stderr what they did", async () => {
    const meshed = await tulle(["inject", "-"], POD);
    expect(meshed).toMatchObject({ code: 0 });
    expect(meshed.stderr).toBe(
      "Pod/app: injected\n  warning: annotation tulle.dev/skip-outbound-port is unknown: nothing reads it\n",
    );
    expect(await tulle(["uninject", "-"], meshed.stdout)).toEqual({
      code: 0,
      stdout: POD,
      stderr: "Pod/app: uninjected\n",
    });
    expect(await tulle(["uninject", "-"], POD)).toEqual({ code: 0, stdout: POD, stderr: "Pod/app: has no sidecar\n" });
  }, 60_000);

  test("a reader of the messages that has enough is no failure", async () => {
    const many = Array.from({ length: 500 }, (_, index) =>
      POD.replace("name: app\n", `name: ${"a".repeat(200)}${index}\n`),
    );
    const line = `set -o pipefail; "$0" src/main.ts inject - 2>&1 >/dev/null | head -n 1`;
    const child = Bun.spawn(["bash", "-c", line, process.execPath], {
      cwd: ROOT,
      stdin: Buffer.from(many.join("---\n")),
      stdout: "pipe",
    });
    const [stdout, code] = await Promise.all([child.stdout.text(), child.exited]);
    expect(stdout).toMatch(/^Pod\/a+0: injected\n$/);
    expect(code).toBe(0);
  }, 60_000);

  test("a template that was not rendered, and options that no cluster would take, are refused", async () => {
    const refused = async (args: readonly string[], stdin: string) => {
      const ran = await tulle(["inject", ...args, "-"], stdin);
      expect([ran.code, ran.stdout]).toEqual([2, ""]);
      return ran.stderr;
    };
    const nameless = POD.replace("name: app\n", "name: {{ .Release.Name }}\n");
    expect(await refused([], nameless)).toContain("metadata.name is not a string; is that a Helm template?");
    expect(await refused([], POD.replace("image: x", "image: {{ .Values.image }}"))).toContain("Render it first");
    expect(await refused([], POD.replace("name: app\n", "name: 7\n"))).toContain('is not a string; quote it: "7"');
    expect(await refused(["--image", "a b"], POD)).toContain("It is an image reference");
    expect(await refused(["--trust-domain", "Not.A_Domain!"], POD)).toContain("trust domain");
  }, 60_000);

  test("a wrong annotation is refused with place, reason and advice: exit code 2, nothing on stdout", async () => {
    const wrong = POD.replace("skip-outbound-port:", "skip-outbound-ports:").replace('"80"', '"http"');
    expect(await tulle(["inject", "-"], wrong)).toEqual({
      code: 2,
      stdout: "",
      stderr:
        'tulle: -:2:1: Pod/app: annotation tulle.dev/skip-outbound-ports is "http"; allowed is ports and ranges from 1 to 65535, separated by commas\n' +
        "  Mend the annotation, or leave it out.\n",
    });
    expect((await tulle(["uninject", "/no/such/file"], "")).code).toBe(2);
  }, 60_000);
});
