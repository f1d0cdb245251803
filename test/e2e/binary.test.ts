/** The built binary as a stranger uses it, twice in a row, and that nothing of it stays on the machine. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { machine, ROOT, sh, TULLE } from "../support/machine.ts";
import { createPod } from "../support/pod.ts";

const APP = join(ROOT, "examples/app-meshed.yaml");

let before = "";
beforeAll(() => {
  before = machine();
});
afterAll(() => {
  expect(machine()).toBe(before);
});

test.each(["first", "second"])("injects the example and writes its pod's rules, the %s time", async () => {
  const injected = sh([TULLE, "inject", APP]);
  expect([injected.code, injected.stderr]).toEqual([0, expect.any(String)]);
  expect(injected.stdout).toContain("name: tulle-init");
  expect(injected.stdout).toContain("name: tulle-proxy");
  expect(sh([TULLE, "inject", "-"], { stdin: injected.stdout }).stdout).toBe(injected.stdout);

  using pod = createPod();
  const shown = await pod.inside.run([TULLE, "init"]);
  expect(shown).toContain("REDIRECT");
  for (const family of ["iptables", "ip6tables"]) {
    const rules = await pod.inside.run([`${family}-save`, "-t", "nat"]);
    expect(rules).toMatch(/--to-ports 15001/);
    expect(rules).toMatch(/--to-ports 15006/);
  }
  await pod.inside.run([TULLE, "init", "--cleanup"]);
  for (const family of ["iptables", "ip6tables"]) {
    expect(await pod.inside.run([`${family}-save`])).not.toMatch(/1500[16]|TULLE/i);
  }
});

test("answers a wrong flag with exit code 2 and says what is meant", () => {
  const refused = sh([TULLE, "init", "--skip-inbound-ports=70000", "--dry-run"]);
  expect(refused.code).toBe(2);
  expect(refused.stderr).toContain("70000");
});
