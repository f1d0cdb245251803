import { describe, expect, test } from "bun:test";
import { ENV, IDENTITY_DIRECTORY } from "../mesh/index.ts";
import { type Environment, readConfig } from "./config.ts";
import { ProxyError } from "./errors.ts";

const GOOD: Environment = {
  [ENV.podName]: "web-1",
  [ENV.podNamespace]: "shop",
  [ENV.podUid]: "6f0c",
  [ENV.podIps]: "10.0.0.9,FD00::9",
  [ENV.serviceAccount]: "web",
  [ENV.nodeName]: "node-1",
  [ENV.operatorAddress]: "tulle-operator.tulle-system.svc:15012",
};

function failure(changes: Environment): ProxyError {
  try {
    readConfig({ ...GOOD, ...changes });
  } catch (error) {
    if (error instanceof ProxyError) return error;
    throw error;
  }
  throw new Error("the configuration was accepted");
}

test("reads what the injector writes into typed values", () => {
  expect<unknown>(readConfig(GOOD)).toEqual({
    pod: {
      name: "web-1",
      namespace: "shop",
      uid: "6f0c",
      serviceAccount: "web",
      node: "node-1",
      ips: ["10.0.0.9", "fd00::9"],
    },
    trustDomain: "cluster.local",
    id: "spiffe://cluster.local/ns/shop/sa/web",
    operator: { host: "tulle-operator.tulle-system.svc", port: 15012, serverName: "tulle-operator.tulle-system.svc" },
    logLevel: "info",
    identityDirectory: IDENTITY_DIRECTORY,
    probes: {},
  });
});

test("what has a default may be missing or empty", () => {
  const config = readConfig({ ...GOOD, [ENV.nodeName]: undefined, [ENV.trustDomain]: "", [ENV.logLevel]: "" });
  expect([config.pod.node, config.trustDomain, config.logLevel]).toEqual(["", "cluster.local" as never, "info"]);
});

test.each(["127.0.0.1:15012", "[fd00::1]:15012"])(
  "an operator reached by address (%s) must still present its own name",
  (address) => {
    const { operator } = readConfig({ ...GOOD, [ENV.operatorAddress]: address });
    expect(operator).toMatchObject({ port: 15012, serverName: "tulle-operator.tulle-system.svc" });
    expect(operator.host).not.toContain("[");
  },
);

describe("a variable that is missing or wrong ends the proxy with exit code 2 and is named", () => {
  const required = [ENV.podName, ENV.podNamespace, ENV.podUid, ENV.podIps, ENV.serviceAccount, ENV.operatorAddress];
  test.each(required)("%s is not set", (name) => {
    for (const value of [undefined, ""]) {
      const error = failure({ [name]: value });
      expect(error).toMatchObject({ code: "missing-variable", exitCode: 2 });
      expect(error.message).toContain(name);
      expect(error.hint).toStartWith("It should be ");
    }
  });

  test.each([
    [ENV.podIps, "10.0.0.9,nonsense"],
    [ENV.podIps, "10.0.0.9,"],
    [ENV.operatorAddress, "operator"],
    [ENV.operatorAddress, "operator:0"],
    [ENV.operatorAddress, "operator:65536"],
    [ENV.operatorAddress, "operator:015012"],
    [ENV.operatorAddress, "[nonsense]:15012"],
    [ENV.operatorAddress, "fd00::1:15012"],
    [ENV.operatorAddress, "https://operator:15012"],
    [ENV.trustDomain, "Not A Domain"],
    [ENV.podNamespace, "shop/../x"],
    [ENV.serviceAccount, "web web"],
    [ENV.logLevel, "loud"],
  ])("%s is %p", (name, value) => {
    const error = failure({ [name]: value });
    expect(error).toMatchObject({ code: "bad-variable", exitCode: 2 });
    expect(error.message).toContain(name);
    expect(error.message).toContain(value);
    expect(error.hint).toStartWith("It should be ");
  });
});
