import { describe, expect, test } from "bun:test";
import { readClusterConfig } from "./config.ts";
import { ClusterError } from "./errors.ts";

const env = { POD_NAMESPACE: "mesh", POD_NAME: "op-1" };

test("without flags, what the chart says by default", () => {
  expect(readClusterConfig({ image: "tulle:1" }, env)).toMatchObject({
    trustDomain: "cluster.local",
    mode: "permissive",
    leafLifetime: 24 * 3_600_000,
    podCidrs: [],
    allowEviction: false,
    namespace: "mesh",
    podName: "op-1",
  });
});

test.each([
  ["30s", 30_000],
  ["1h30m", 5_400_000],
  ["48h", 172_800_000],
])("a lifetime of %s", (leafLifetime, millis) => {
  expect(readClusterConfig({ image: "tulle:1", leafLifetime }, env).leafLifetime).toBe(millis);
});

describe("a wrong flag is named with what it should be, exit code 2", () => {
  test.each([
    [{ mode: "loose" }, "--mode"],
    [{ logLevel: "loud" }, "--log-level"],
    [{ trustDomain: "Cluster.Local" }, "--trust-domain"],
    [{ leafLifetime: "1d" }, "--leaf-lifetime"],
    [{ leafLifetime: "" }, "--leaf-lifetime"],
    [{ leafLifetime: "5s" }, "--leaf-lifetime"],
    [{ podCidrs: "10.0.0.1/8" }, "--pod-cidrs"],
    [{ serviceCidrs: "10.0.0.0/8,x" }, "--service-cidrs"],
  ])("%j", (flags, name) => {
    let refused: unknown;
    try {
      readClusterConfig({ image: "tulle:1", ...flags }, env);
    } catch (error) {
      refused = error;
    }
    expect(refused).toBeInstanceOf(ClusterError);
    expect(refused).toMatchObject({ code: "bad-flag", exitCode: 2 });
    expect((refused as ClusterError).message).toStartWith(name);
    expect((refused as ClusterError).hint).toStartWith("It should be");
  });
});
