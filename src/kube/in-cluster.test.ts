import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inClusterConnection } from "./in-cluster.ts";

let folder: string;
const env = { KUBERNETES_SERVICE_HOST: "fd00::1", KUBERNETES_SERVICE_PORT: "443" };
const write = (name: string, content: string) => writeFileSync(join(folder, name), content);

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "tulle-pod-"));
  write("token", "one");
  write("ca.crt", "CA");
  write("namespace", "tulle-system");
});

afterEach(() => rmSync(folder, { recursive: true }));

test("is there only in a pod, and needs neither proxy nor library", () => {
  expect(inClusterConnection({})).toBeUndefined();
  expect(inClusterConnection({ KUBERNETES_SERVICE_HOST: "10.0.0.1" })).toBeUndefined();
  const connection = inClusterConnection(env, folder);
  expect(connection?.server).toBe("https://[fd00::1]:443");
  expect(connection?.namespace).toBe("tulle-system");
  expect(connection?.proxy).toBe(false);
});

test("reads the token and the CA again for every request", async () => {
  const connection = inClusterConnection(env, folder);
  expect(await connection?.credentials()).toEqual({ headers: { authorization: "Bearer one" }, tls: { ca: "CA" } });
  write("token", "two\n");
  write("ca.crt", "CA and next CA");
  expect(await connection?.credentials()).toEqual({
    headers: { authorization: "Bearer two" },
    tls: { ca: "CA and next CA" },
  });
});

test("says which file is missing or no token, and what to do, and shows nothing of it", async () => {
  const connection = inClusterConnection(env, folder);
  write("token", "s3 cret\nx");
  const error = await connection?.credentials().catch((caught: unknown) => caught);
  expect(error).toMatchObject({ code: "no-credentials", message: `${folder}/token holds no token` });
  expect(Bun.inspect(error)).not.toContain("cret");
  rmSync(join(folder, "token"));
  expect(connection?.credentials()).rejects.toMatchObject({ code: "no-credentials" });
});

test("gives the library the same server and the token of now", async () => {
  const connection = inClusterConnection(env, folder);
  const config = await connection?.library();
  expect(config?.getCurrentCluster()).toMatchObject({ server: "https://[fd00::1]:443", caFile: `${folder}/ca.crt` });
  expect(config?.getCurrentUser()?.token).toBe("one");
});
