import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Coverage, withCounters } from "./coverage.ts";
import { mutateDer } from "./der-tree.ts";
import { Dice } from "./dice.ts";
import { search } from "./search.ts";
import { formatInput, formatSeeds, parseSeeds, readSeeds, targetNames } from "./seeds.ts";
import { bytesOf, promise, type Target } from "./target.ts";

const targets = await Promise.all(
  targetNames().map(async (name) => {
    const { target } = (await import(`./targets/${name}.ts`)) as { readonly target: Target };
    return [name, target] as const;
  }),
);

describe("nothing that was ever found breaks", () => {
  test.each(targets)("%s", (name, target) => {
    // A few examples show that the target works; they are tested as wholes where the parser is.
    const inputs = [...target.examples.slice(0, 5), ...readSeeds(name).map(({ input }) => input)];
    expect(inputs.length).toBeGreaterThan(0);
    for (const input of inputs) {
      try {
        target.run(new Uint8Array(input));
      } catch (cause) {
        throw new Error(`${name} breaks with ${formatInput(input)}`, { cause });
      }
    }
  });
});

describe("the search", () => {
  const hidden: Target = {
    examples: [bytesOf("hello world")],
    run: (input) => promise(!Buffer.from(input).includes("XY"), "no XY in it"),
    tokens: [bytesOf("X"), bytesOf("Y")],
  };
  const run = (target: Target, seed: number, most: number) => {
    let looks = 0;
    const enough = () => ++looks > most;
    return search({ target, seeds: [], coverage: new Coverage(), seed, enough, watch: () => undefined });
  };

  test("finds what breaks, makes it as small as it goes, and finds the same again from the same seed", () => {
    const found = run(hidden, 1, 1_000);
    expect(found.broken?.error.message).toBe("no XY in it");
    expect(Buffer.from(found.broken?.input ?? []).toString()).toBe("XY");
    expect(run(hidden, 1, 1_000)).toEqual(found);
  });

  test("ends without a finding when nothing breaks", () => {
    expect(run({ ...hidden, run: () => undefined }, 1, 3)).toMatchObject({ runs: 400, broken: undefined });
  });
});

test("counters change nothing but what they count", () => {
  const source = `/* § */ export function f(n: number): string {
    let out = "";
    for (let i = 0; i < n; i++) if (i % 2 === 0) out += i > 2 ? "a" : "b"; else out += "c";
    switch (n) { case 3: return out; case 4: { out += "4"; } default: out += "d"; }
    const add = (s: string) => s + (n > 5 || s);
    return n > 4 && add("e") !== "" ? add("f") : [1].map((x) => ({ x })).length + out;
  }`;
  let count = 0;
  const counted = withCounters(Buffer.from(source), () => count++);
  const load = (text: string) => {
    const script = new Bun.Transpiler({ loader: "ts" })
      .transformSync(text)
      .replace(/export\s*\{[^}]*\};?|export /g, "");
    return new Function("__fuzzBlocks", `${script}; return f;`) as (counters: Uint32Array) => (n: number) => string;
  };
  const counters = new Uint32Array(100);
  const [plain, instrumented] = [load(source)(counters), load(counted)(counters)];
  for (let n = 0; n < 7; n++) expect(instrumented(n)).toBe(plain(n));
  expect(count).toBe(16);
  // The function's own block, first of all, ran for each call.
  expect(counters[0]).toBe(7);
  expect(counters.subarray(0, count)).not.toContain(0);
});

test("kept inputs are written and read again", () => {
  fc.assert(
    fc.property(fc.array(fc.record({ input: fc.uint8Array() }), { maxLength: 5 }), (seeds) => {
      expect(parseSeeds(formatSeeds(seeds))).toEqual(seeds);
    }),
  );
  const why = { input: bytesOf('a"\\\n\x00'), why: "it broke" };
  expect(formatSeeds([why])).toBe('# it broke\n"a\\"\\\\\\n\\x00"\n');
  expect(parseSeeds(formatSeeds([why]))).toEqual([why]);
  expect(() => parseSeeds("plain text\n")).toThrow("not a kept input");
});

test("DER that is changed stays DER", () => {
  const der = new Uint8Array(Buffer.from("300a0101ff020200800403020100", "hex"));
  const read = (bytes: Uint8Array, at = 0): boolean =>
    at === bytes.length || (at + 1 < bytes.length && read(bytes, at + 2 + (bytes[at + 1] as number)));
  for (let seed = 1; seed < 200; seed++) expect(read(mutateDer(der, new Dice(seed)))).toBe(true);
});
