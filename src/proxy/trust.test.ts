import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { systemClock, systemRandom } from "../cli/system.ts";
import { Authority, parseTrustDomain } from "../identity/index.ts";
import { IdentityDirectory } from "../testkit/identity-directory.ts";
import { issueIdentity } from "../testkit/mesh-identity.ts";
import { IdentityFiles } from "./identity-files.ts";
import { TrustStore } from "./trust.ts";

const authority = () =>
  Authority.create({ trustDomain: parseTrustDomain("cluster.local"), clock: systemClock, random: systemRandom });
const [first, second] = [authority(), authority()];

let directory: IdentityDirectory;
let files: IdentityFiles;
let trust: TrustStore;
beforeEach(() => {
  directory = new IdentityDirectory(first);
  files = new IdentityFiles(directory.path);
  trust = new TrustStore(files);
});
afterEach(() => directory[Symbol.dispose]());

const keyIds = async () => (await trust.operatorRoots()).certificates.map((root) => root.subjectKeyId);

describe("roots for judging the operator", () => {
  test("are those of the file before discovery has said anything, read anew each time", async () => {
    expect(await keyIds()).toEqual([first.rootKeyId]);
    directory.writeRoots(second.bundle().pem());
    expect(await keyIds()).toEqual([second.rootKeyId]);
  });

  test("are the live ones and those of the file, each once", async () => {
    trust.apply(first.bundle());
    expect(await keyIds()).toEqual([first.rootKeyId]);
    directory.writeRoots(second.bundle().pem() + first.bundle().pem());
    expect(await keyIds()).toEqual([first.rootKeyId, second.rootKeyId]);
  });

  test("are the live ones when the file is gone or broken", async () => {
    trust.apply(second.bundle());
    for (const text of ["", "nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]) {
      directory.writeRoots(text);
      expect(await keyIds()).toEqual([second.rootKeyId]);
    }
    directory[Symbol.dispose]();
    expect(await keyIds()).toEqual([second.rootKeyId]);
  });

  test("are none, and that is an error, without both", async () => {
    for (const text of ["", "nonsense"]) {
      directory.writeRoots(text);
      await expect(trust.operatorRoots()).rejects.toMatchObject({ code: "unreadable-file" });
    }
    directory[Symbol.dispose]();
    await expect(trust.operatorRoots()).rejects.toMatchObject({ code: "unreadable-file" });
  });
});

describe("the live bundle", () => {
  test("is what new handshakes use from the moment it is applied", () => {
    expect([trust.live, trust.pem]).toEqual([undefined, ""]);
    trust.apply(first.bundle());
    trust.apply({ sequence: 2, roots: [...first.bundle().roots, ...second.bundle().roots] });
    expect(trust.live?.sequence).toBe(2);
    expect(trust.pem).toBe(first.bundle().pem() + second.bundle().pem());
  });

  test("stays when a new one cannot be used: empty, no certificate, not a CA", () => {
    trust.apply(first.bundle());
    const leaf = Buffer.from(
      issueIdentity(first, "spiffe://cluster.local/ns/shop/sa/web").cert.split("\n").slice(1, -2).join(""),
      "base64",
    );
    for (const roots of [[], [Uint8Array.of(1, 2, 3)], [leaf]]) {
      expect(() => trust.apply({ sequence: 9, roots })).toThrow();
    }
    expect(trust.live?.sequence).toBe(1);
    expect(trust.pem).toBe(first.bundle().pem());
  });
});

describe("the token", () => {
  test("is read anew before each call, without the line end", async () => {
    expect(await files.token()).toBe("shop/web");
    directory.writeToken("newer");
    expect(await files.token()).toBe("newer");
  });

  test.each(["", "\n", "two words", "line\nbreak", "x".repeat(2 * 1024 * 1024)])(
    "a file that holds none is an error (%#)",
    async (text) => {
      directory.writeToken(text);
      await expect(files.token()).rejects.toMatchObject({ code: "unreadable-file" });
    },
  );
});
