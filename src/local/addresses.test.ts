import { expect, test } from "bun:test";
import fc from "fast-check";
import { cidrContains, formatCidr, parseCidr } from "../mesh/index.ts";
import { AddressPool, addressAt, planAddresses, podCapacity, RESERVED, routesOf } from "./addresses.ts";

const cidr = (text: string) => {
  const parsed = parseCidr(text);
  if (parsed === undefined) throw new Error(text);
  return parsed;
};

test("the default ranges give way to the machine's routes", () => {
  expect(formatCidr(planAddresses({}, []).pods.v4)).toBe("10.244.0.0/24");
  const plan = planAddresses({}, [cidr("10.0.0.0/8"), cidr("fd00:10:244::/64"), cidr("0.0.0.0/0")]);
  expect(formatCidr(plan.pods.v4)).toBe("172.29.244.0/24");
  expect(formatCidr(plan.services.v4)).toBe("172.29.96.0/20");
  expect(formatCidr(plan.pods.v6)).toBe("fd00:10:245::/112");
});

test("a range holds one pod less than it has addresses to hand out", () => {
  const plan = planAddresses({ podCidr: "192.0.2.0/26" }, []);
  const pool = new AddressPool(plan.pods.v4, RESERVED);
  for (let i = 0; i <= podCapacity(plan); i++) pool.allocate();
  expect(() => pool.allocate()).toThrow(/every address/);
});

test("a wanted range that overlaps a route of the machine is refused by name", () => {
  expect(() => planAddresses({ podCidr: "192.0.2.0/24" }, [cidr("192.0.2.128/25")])).toThrow(
    /192\.0\.2\.0\/24 overlaps the machine's route 192\.0\.2\.128\/25/,
  );
});

test.each(["10.0.0.0", "10.0.0.1/24", "10.0.0.0/30", "x", "10.0.0.0/24,10.1.0.0/24", "fd00::/126"])(
  "refuses --pod-cidr %s",
  (text) => {
    expect(() => planAddresses({ podCidr: text === "10.0.0.0" ? "10.0.0.0/32" : text }, [])).toThrow(/--pod-cidr/);
  },
);

test("pod and service ranges may not overlap each other", () => {
  expect(() => planAddresses({ podCidr: "10.1.0.0/16", serviceCidr: "10.1.2.0/24" }, [])).toThrow(/overlap/);
});

test("addresses of a pool are in its range, never twice, and not used again at once", () => {
  const range = cidr("10.1.0.0/26");
  const pool = new AddressPool(range, 2);
  const first = pool.allocate();
  expect(String(first)).toBe("10.1.0.2");
  pool.release(first);
  const seen = new Set([pool.allocate()]);
  expect(seen.has(first)).toBe(false);
  for (let i = 0; i < 60; i++) seen.add(pool.allocate());
  expect(seen.size).toBe(61);
  for (const one of seen) expect(cidrContains(range, one)).toBe(true);
  expect(() => pool.allocate()).toThrow(/every address of 10\.1\.0\.0\/26 is in use/);
});

test("the n-th address of a range carries over byte borders", () => {
  fc.assert(
    fc.property(fc.nat(60_000), (offset) => {
      const text = addressAt(cidr("10.1.0.0/16"), offset);
      const [, , a = 0, b = 0] = text.split(".").map(Number);
      expect(a * 256 + b).toBe(offset);
    }),
  );
  expect(String(addressAt(cidr("fd00:10:96::/112"), 0x1234))).toBe("fd00:10:96::1234");
});

test("routes are read from what ip prints", () => {
  const text = JSON.stringify([
    { dst: "default", gateway: "192.0.2.1" },
    { dst: "192.0.2.0/24" },
    { dst: "10.1.2.3" },
    { dst: "fe80::/64" },
  ]);
  expect(routesOf(text).map(formatCidr)).toEqual(["192.0.2.0/24", "10.1.2.3/32"]);
});
