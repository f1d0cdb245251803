/** Who asks the operator for a certificate proves to be a pod, by the API server's own TokenReview. */
import { expect } from "bun:test";
import { createPrivateKey, sign } from "node:crypto";
import * as grpc from "@grpc/grpc-js";
import { bearer, csrPem, unary } from "../../src/testkit/operator-stage.ts";
import { METHODS } from "../../src/wire/index.ts";
import { type ClusterNamespace, eventually, firstLine } from "../support/cluster.ts";
import { cleanUp, holds, holdsInNode, Mesh, prepare } from "../support/mesh.ts";
import { app, podOf } from "../support/mesh-apps.ts";
import { SYSTEM } from "../support/names.ts";

const AUDIENCE = "tulle-ca";
const HOST = `tulle-operator.${SYSTEM}.svc`;
let mesh: Mesh;
let space: ClusterNamespace;
let forward: Bun.Subprocess<"ignore", "pipe", "ignore"> | undefined;
let client: grpc.Client | undefined;

prepare(async () => {
  mesh = await Mesh.find();
  space = await mesh.meshed("tokens");
  await space.kubectl(["create", "serviceaccount", "other"]);
  await space.apply(
    podOf("caller", app(["idle"])),
    podOf("other", app(["idle"]), { spec: { serviceAccountName: "other" } }),
  );
  await space.apply(podOf("gone", app(["idle"])));
  await space.ready(["caller", "other", "gone"]);
  const [replica = ""] = await mesh.operatorPods();
  forward = Bun.spawn(mesh.cluster.kubectlCommand("-n", SYSTEM, "port-forward", `pod/${replica}`, ":15012"), {
    stdout: "pipe",
    stderr: "ignore",
    stdin: "ignore",
  });
  const port = /127\.0\.0\.1:(\d+)/.exec(await firstLine(forward.stdout))?.[1];
  const bundle = await mesh.system(["get", "configmap/tulle-trust-bundle", "-o", "json"]);
  const roots = Object.values((JSON.parse(bundle) as { data: Record<string, string> }).data).join("");
  client = new grpc.Client(`127.0.0.1:${port}`, grpc.credentials.createSsl(Buffer.from(roots)), {
    "grpc.ssl_target_name_override": HOST,
    "grpc.default_authority": HOST,
  });
});
cleanUp(async () => {
  client?.close();
  forward?.kill();
  await forward?.exited;
  await space?.[Symbol.asyncDispose]();
});

const id = (account: string) => `spiffe://cluster.local/ns/${space.name}/sa/${account}`;

/** A token as the kubelet would mount it, for another audience or bound to nothing if told so. */
async function token(account: string, pod?: string, audience = AUDIENCE): Promise<string> {
  const uid = pod === undefined ? "" : await space.get(`pod/${pod}`, ".metadata.uid");
  const bound =
    pod === undefined ? [] : ["--bound-object-kind=Pod", `--bound-object-name=${pod}`, `--bound-object-uid=${uid}`];
  return (
    await space.kubectl(["create", "token", account, `--audience=${audience}`, "--duration=10m", ...bound])
  ).trim();
}

/** The answer: a chain, or the status and the operator's reason for it. */
async function ask(metadata: grpc.Metadata, account = "default"): Promise<string> {
  if (client === undefined) throw new Error("no client");
  const request = { csr: csrPem(id(account)), validityDuration: 3600, metadata: undefined };
  try {
    const { certChain } = await unary(client, METHODS.createCertificate, request, metadata);
    return `${certChain.length} certificates`;
  } catch (error) {
    const { code, details } = error as grpc.ServiceError;
    return `${grpc.status[code]}: ${details}`;
  }
}

holds("its own token gets a certificate: the refusals below are the tokens'", async () => {
  expect(await ask(bearer(await token("default", "caller")))).toBe("3 certificates");
});

holds("no token is refused", async () => {
  expect(await ask(new grpc.Metadata())).toStartWith("UNAUTHENTICATED: token-missing");
});

holds("a token for another audience is refused", async () => {
  for (const audience of ["istio-ca", "https://kubernetes.default.svc"]) {
    expect(await ask(bearer(await token("default", "caller", audience)))).toStartWith("UNAUTHENTICATED: token-");
  }
});

holds("another pod's token gets no certificate of this one's identity", async () => {
  expect(await ask(bearer(await token("other", "other")), "default")).toMatch(
    /^(INVALID_ARGUMENT|PERMISSION_DENIED): csr-/,
  );
});

holds("a token that is bound to no pod is refused", async () => {
  expect(await ask(bearer(await token("default")))).toStartWith("UNAUTHENTICATED: token-unbound");
});

holds("the token of a pod that was deleted is refused", async () => {
  const old = await token("default", "gone");
  expect(await ask(bearer(old))).toBe("3 certificates");
  await space.kubectl(["delete", "pod", "gone", "--grace-period=0", "--force"]);
  // The API server remembers for ten seconds what it said of a token: until then it is the pod that is missing.
  expect(await ask(bearer(old))).toMatch(/^(UNAUTHENTICATED: token-invalid|UNAVAILABLE: pod-unknown)/);
  // Nor does it serve the next pod of that name.
  await space.apply(podOf("gone", app(["idle"])));
  expect(await ask(bearer(old))).toMatch(
    /^(UNAUTHENTICATED: token-invalid|UNAVAILABLE: pod-unknown|PERMISSION_DENIED: pod-replaced)/,
  );
  await eventually(async () =>
    (await ask(bearer(old))).startsWith("UNAUTHENTICATED: token-invalid") ? true : undefined,
  );
});

holdsInNode("a token that has expired is refused, well signed as it is", async () => {
  const key = createPrivateKey(await mesh.node.run("cat", "/run/cluster/state/pki/service-accounts.key"));
  const [header = "", payload = ""] = (await token("default", "caller")).split(".");
  const again = (change: object): string => {
    const claims = { ...(JSON.parse(Buffer.from(payload, "base64url").toString()) as object), ...change };
    const signed = `${header}.${Buffer.from(JSON.stringify(claims)).toString("base64url")}`;
    return `${signed}.${sign("sha256", Buffer.from(signed), key).toString("base64url")}`;
  };
  const now = Math.trunc(Date.now() / 1000);
  expect(await ask(bearer(again({})))).toBe("3 certificates");
  const expired = again({ iat: now - 7200, nbf: now - 7200, exp: now - 3600 });
  expect(await ask(bearer(expired))).toStartWith("UNAUTHENTICATED: token-invalid");
});

holds("what is no token is refused", async () => {
  for (const text of ["x", "a.b.c"]) expect(await ask(bearer(text))).toStartWith("UNAUTHENTICATED: token-invalid");
});
