import { afterEach, beforeEach, expect, test } from "bun:test";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "./connect.ts";
import { KubeError } from "./errors.ts";

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "tulle-kubeconfig-"));
});

afterEach(() => rmSync(folder, { recursive: true }));

function write(name: string, content: unknown, mode = 0o600): string {
  const file = join(folder, name);
  writeFileSync(file, typeof content === "string" ? content : JSON.stringify(content), { mode });
  return file;
}

/** A kubeconfig of one context, cluster and user, all named alike. */
function config(name: string, user: object, cluster: object = {}): object {
  return {
    clusters: [{ name, cluster: { server: `https://${name}.example:6443/`, ...cluster } }],
    users: [{ name, user }],
    contexts: [{ name, context: { cluster: name, user: name, namespace: `ns-${name}` } }],
    "current-context": name,
  };
}

async function refusal(work: Promise<unknown>): Promise<KubeError> {
  const error = await work.catch((caught: unknown) => caught);
  if (error instanceof KubeError) return error;
  throw new Error(`no KubeError: ${Bun.inspect(error)}`);
}

const open = (file: string, context?: string) => connect({ kubeconfig: file, context, env: {} });
const authorization = async (file: string) => (await (await open(file)).credentials()).headers["authorization"];

test("reads server, namespace, certificates by file and by value, relative to the file", async () => {
  write("ca.pem", "CA");
  const data = (text: string) => Buffer.from(text).toString("base64");
  const user = { "client-certificate-data": data("CERT"), "client-key-data": data("KEY") };
  const file = write(
    "config",
    config("a", user, { "certificate-authority": "ca.pem", "tls-server-name": "kubernetes" }),
  );
  const connection = await open(file);
  expect([connection.server, connection.namespace]).toEqual(["https://a.example:6443", "ns-a"]);
  const { headers, tls } = await connection.credentials();
  expect(headers).toEqual({});
  expect([String(tls.ca), String(tls.cert), String(tls.key)]).toEqual(["CA", "CERT", "KEY"]);
  expect(tls.serverName).toBe("kubernetes");
  expect(tls.rejectUnauthorized).toBeUndefined();
  // A renewed file counts from the next request on.
  write("ca.pem", "CA2");
  expect(String((await connection.credentials()).tls.ca)).toBe("CA2");
});

test("takes an explicit file before KUBECONFIG before ~/.kube/config before the pod's account", async () => {
  mkdirSync(join(folder, ".kube"));
  write(".kube/config", config("home", {}));
  const listed = write("listed", config("listed", {}));
  const explicit = write("explicit", config("explicit", {}));
  const pod = { KUBERNETES_SERVICE_HOST: "10.0.0.1", KUBERNETES_SERVICE_PORT: "443" };
  const server = async (kubeconfig: string | undefined, env: Record<string, string>) =>
    (await connect({ kubeconfig, env })).server.replace(".example:6443", "");
  expect(await server(explicit, { KUBECONFIG: listed })).toBe("https://explicit");
  expect(await server(undefined, { KUBECONFIG: listed, HOME: folder })).toBe("https://listed");
  expect(await server(undefined, { HOME: folder, ...pod })).toBe("https://home");
  expect(await server(undefined, { HOME: "/nowhere", ...pod })).toBe("https://10.0.0.1:443");
  expect((await refusal(connect({ env: {} }))).code).toBe("no-config");
});

test("merges the files of KUBECONFIG as kubectl does: the first that says something wins, missing ones are passed over", async () => {
  const one = write("one", { ...config("a", { token: "t-one" }), "current-context": "" });
  const two = write("two", { ...config("a", { token: "t-two" }, { server: "https://other" }), "current-context": "b" });
  const three = write("three", config("b", { token: "t-three" }));
  const env = { KUBECONFIG: [join(folder, "missing"), one, two, three].join(":") };
  const current = await connect({ env });
  expect(current.server).toBe("https://b.example:6443");
  const chosen = await connect({ env, context: "a" });
  expect(chosen.server).toBe("https://a.example:6443");
  expect((await chosen.credentials()).headers).toEqual({ authorization: "Bearer t-one" });
});

test("names the contexts there are when the one asked for is not, and what else a file lacks", async () => {
  const file = write("config", config("a", {}));
  const error = await refusal(open(file, "nope"));
  expect(error.message).toBe(`kubeconfig ${file} has no context "nope"`);
  expect(error.hint).toBe("Pass --context with one of: a.");
  expect(error.exitCode).toBe(2);
  const broken = async (content: unknown) =>
    (await refusal(open(write("broken", content)))).message.replace(/^.*broken /, "");
  expect(await broken("token: [s3cret")).toBe("is not a kubeconfig: it is no YAML, or an entry lacks its name");
  expect(await broken({ clusters: [{ cluster: { server: "x" } }] })).toContain("lacks its name");
  expect(await broken("")).toBe("names no current-context");
  expect(await broken({ ...config("a", {}), clusters: [] })).toBe("context a names the cluster a, which is not there");
  expect(await broken({ ...config("a", {}), users: [] })).toBe("context a names the user a, which is not there");
  expect(await broken(config("a", {}, { server: "ftp://x" }))).toContain("neither https nor http");
  const secret = await broken(config("a", {}, { server: "https://u:s3cret@x" }));
  expect(secret).toContain("password");
  expect(secret).not.toContain("s3cret");
  expect((await refusal(open(join(folder, "missing")))).message).toEndWith("missing is not there");
});

test("refuses impersonation that it would get wrong, rather than act with other rights", async () => {
  expect((await refusal(open(write("c", config("a", { as: "root", "as-groups": ["g"] }))))).message).toContain(
    "as-groups",
  );
  const one = await (await open(write("d", config("a", { as: "jane" })))).credentials();
  expect(one.headers).toEqual({ "impersonate-user": "jane" });
});

test("takes a file in which another user than the context's asks for such impersonation", async () => {
  const file = write("c", {
    ...config("a", { token: "abc" }),
    users: [
      { name: "a", user: { token: "abc" } },
      { name: "b", user: { as: "root", "as-groups": ["g"] } },
    ],
  });
  expect(await authorization(file)).toBe("Bearer abc");
});

test("keeps to the context of its beginning when another becomes the current one", async () => {
  const a = config("a", { token: "for-a" }) as Record<string, object[]>;
  const b = config("b", { token: "for-b" }) as Record<string, object[]>;
  const both = Object.fromEntries(
    ["clusters", "users", "contexts"].map((key) => [key, [...(a[key] ?? []), ...(b[key] ?? [])]]),
  );
  const connection = await open(write("both", { ...both, "current-context": "a" }));
  write("both", { ...both, "current-context": "b" });
  connection.refresh();
  expect((await connection.credentials()).headers["authorization"]).toBe("Bearer for-a");
});

test("sends tokens and passwords; a token with a line break is refused without being shown", async () => {
  expect(await authorization(write("a", config("a", { token: "abc" })))).toBe("Bearer abc");
  expect(await authorization(write("b", config("a", { username: "u", password: "p" })))).toBe("Basic dTpw");
  const error = await refusal(authorization(write("c", config("a", { token: "s3\ncret" }))));
  expect(error.code).toBe("no-credentials");
  expect(Bun.inspect(error)).not.toContain("cret");
});

test("reads a token file again for every request, relative to the kubeconfig", async () => {
  write("token", "one\n");
  const connection = await open(write("config", config("a", { tokenFile: "token", token: "ignored" })));
  const read = async () => (await connection.credentials()).headers["authorization"];
  expect(await read()).toBe("Bearer one");
  write("token", "two\n");
  expect(await read()).toBe("Bearer two");
  rmSync(join(folder, "token"));
  expect((await refusal(read())).message).toContain("cannot read the token file");
});

test("without TLS the server of `kubectl proxy` is accepted", async () => {
  const connection = await open(write("config", config("a", {}, { server: "http://127.0.0.1:8001" })));
  expect(connection.server).toBe("http://127.0.0.1:8001");
  expect((await connection.credentials()).headers).toEqual({});
});

function plugin(script: string): { file: string; ran: () => number } {
  const log = join(folder, "ran");
  write("plugin.sh", `#!/bin/sh\necho x >>${log}\n${script}\n`);
  chmodSync(join(folder, "plugin.sh"), 0o700);
  const exec = {
    apiVersion: "client.authentication.k8s.io/v1",
    command: "./plugin.sh",
    args: ["get"],
    env: [{ name: "WHO", value: "me" }],
  };
  const file = write("config", config("a", { exec }));
  return { file, ran: () => (existsSync(log) ? readFileSync(log, "utf8").length / 2 : 0) };
}

const credential = (status: string) => `echo '{"kind":"ExecCredential","status":${status}}'`;

test("runs a credential plugin beside the kubeconfig, with what plugins expect, and keeps its answer until it expires", async () => {
  const { file, ran } = plugin(
    `[ "$1 $WHO" = "get me" ] || exit 1\nexpr "$KUBERNETES_EXEC_INFO" : '.*client.authentication.k8s.io/v1"' >/dev/null || exit 2\n` +
      credential('{"token":"made","expirationTimestamp":"2100-01-01T00:00:00Z"}'),
  );
  const connection = await open(file);
  expect(ran()).toBe(0);
  for (let i = 0; i < 3; i += 1) expect((await connection.credentials()).headers["authorization"]).toBe("Bearer made");
  expect(ran()).toBe(1);
  // The server answered 401: whatever the plugin said of its life, it is asked again.
  connection.refresh();
  await connection.credentials();
  expect(ran()).toBe(2);
});

test("runs a plugin again when its credential has expired, and takes certificates from it", async () => {
  const status = '{"clientCertificateData":"CERT","clientKeyData":"KEY","expirationTimestamp":"2001-01-01T00:00:00Z"}';
  const { file, ran } = plugin(credential(status));
  const connection = await open(file);
  await connection.credentials();
  const { tls, headers } = await connection.credentials();
  expect([tls.cert, tls.key, headers["authorization"]]).toEqual(["CERT", "KEY", undefined]);
  expect(ran()).toBe(2);
});

test("shows what a failed plugin says on stderr, and never what it prints", async () => {
  const said = async (script: string) => {
    const error = await refusal(authorization(plugin(script).file));
    expect(error.code).toBe("no-credentials");
    expect(Bun.inspect(error)).not.toContain("s3cret");
    return error.message;
  };
  expect(await said("echo s3cret; echo 'run: cloud login' >&2; exit 1")).toEndWith(
    "plugin.sh of the kubeconfig failed: run: cloud login",
  );
  expect(await said("echo s3cret")).toEndWith("did not print an ExecCredential");
  expect(await said(`echo '{"s3cret":1}'`)).toEndWith("did not print an ExecCredential");
  const missing = write("missing", config("a", { exec: { command: "no-such-plugin" } }));
  const error = await refusal(authorization(missing));
  expect(error.message).toBe("the credential plugin no-such-plugin of the kubeconfig is not installed");
});
