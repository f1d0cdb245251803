import { expect, test } from "bun:test";
import { Authority } from "../identity/index.ts";
import { FakeClock } from "../testkit/fake-clock.ts";
import { SeededRandom } from "../testkit/seeded-random.ts";
import { readTrust } from "./trust.ts";

test("the mesh's own bundle names its trust domain, and each root with its end", () => {
  const trustDomain = "mesh.example.com" as never;
  const authority = Authority.create({ clock: new FakeClock(), random: new SeededRandom(1), trustDomain });
  const [root] = authority.bundle().certificates;
  const pem = authority.bundle().pem();
  const { roots, ...rest } = readTrust(`# comment\n${pem}${pem}`);
  expect(rest).toEqual({ trustDomain: "mesh.example.com" });
  expect(roots).toHaveLength(2);
  expect(roots[0]).toEqual({
    fingerprint: new Bun.CryptoHasher("sha256").update(root?.der ?? "").digest("hex"),
    expires: new Date(root?.notAfter ?? 0).toISOString(),
  });
});

test("what is no certificate is left out", () => {
  expect(readTrust("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")).toEqual({
    trustDomain: null,
    roots: [],
  });
  expect(readTrust("")).toEqual({ trustDomain: null, roots: [] });
});
