import { expect, test } from "bun:test";
import { PORTS } from "../mesh/index.ts";
import { ip } from "../testkit/addresses.ts";
import { isOwnPort, podNetwork } from "./guard.ts";

test("a pod's outbound capture listens on loopback alone, what the network reaches on every address", () => {
  const network = podNetwork([ip("10.0.0.9"), ip("fd00::9")], () => undefined);
  expect(network.outboundHosts).toEqual(["127.0.0.1", "::1"]);
  expect(network.inboundHosts).toEqual(["::", "0.0.0.0"]);
  expect(["127.0.0.1", "127.8.9.10", "::1", "10.0.0.9", "fd00::9"].map((one) => network.isLoopback(ip(one)))).toEqual([
    true,
    true,
    true,
    false,
    false,
  ]);
});

test("the proxy's own ports are those of its listeners, and no other", () => {
  const own = [PORTS.outbound, PORTS.inboundPlaintext, PORTS.hbone, PORTS.metrics, PORTS.readiness];
  for (let port = 14_990; port < 15_030; port++)
    expect([port, isOwnPort(PORTS, port)]).toEqual([port, own.some((one) => one === port)]);
});
