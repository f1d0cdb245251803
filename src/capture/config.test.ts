import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { formatCidr } from "../mesh/index.ts";
import { joinRanges, type PortRange, parseCidrs, parsePortRanges, parseUserId } from "./config.ts";

describe("parsePortRanges", () => {
  test.each([
    ["", []],
    ["80", [{ first: 80, last: 80 }]],
    [
      " 443 , 80 ",
      [
        { first: 80, last: 80 },
        { first: 443, last: 443 },
      ],
    ],
    ["8000-8010", [{ first: 8000, last: 8010 }]],
    ["1-65535", [{ first: 1, last: 65535 }]],
    ["80,81,82-90,85-88", [{ first: 80, last: 90 }]],
  ] as const)("reads %p", (text, ranges) => {
    expect(parsePortRanges(text, "--ports")).toEqual([...ranges]);
  });

  test.each([
    "0",
    "65536",
    "80,",
    ",80",
    "80,,90",
    "-80",
    "80-",
    "1-2-3",
    "080",
    "8e1",
    "http",
    "80;90",
    "80:90",
    "90-80",
  ])("refuses %p with exit code 2, naming the flag and what is right", (text) => {
    expect(() => parsePortRanges(text, "--ports")).toThrow(
      expect.objectContaining({
        code: "bad-value",
        exitCode: 2,
        message: expect.stringMatching(/^--ports: ".*" is not valid$/),
        hint: expect.stringMatching(/^Give a (port from 1 to 65535|range from the lower)/),
      }),
    );
  });

  test("joins ranges without gaining or losing a port, and leaves a gap between any two", () => {
    const range = fc
      .tuple(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 0, max: 20 }))
      .map(([first, length]): PortRange => ({ first, last: first + length }));
    const portsOf = (ranges: readonly PortRange[]) =>
      new Set(ranges.flatMap(({ first, last }) => Array.from({ length: last - first + 1 }, (_, i) => first + i)));
    fc.assert(
      fc.property(fc.array(range), (ranges) => {
        const joined = joinRanges(ranges);
        expect(portsOf(joined)).toEqual(portsOf(ranges));
        for (const [index, { first }] of joined.entries()) {
          expect(first).toBeGreaterThan((joined[index - 1]?.last ?? -1) + 1);
        }
      }),
    );
  });
});

describe("parseCidrs", () => {
  test("reads both families and bare addresses", () => {
    expect(parseCidrs("10.0.0.0/8, FD00::/8,192.0.2.7,::1", "--cidrs").map(formatCidr)).toEqual([
      "10.0.0.0/8",
      "fd00::/8",
      "192.0.2.7/32",
      "::1/128",
    ]);
    expect(parseCidrs("", "--cidrs")).toEqual([]);
  });

  test.each(["10.0.0.1/8", "10.0.0.0/33", "example.com", "10.0.0.0/8,", "fe80::1%eth0", "10.0.0.0/8 -j ACCEPT"])(
    "refuses %p with exit code 2",
    (text) => {
      expect(() => parseCidrs(text, "--cidrs")).toThrow(expect.objectContaining({ code: "bad-value", exitCode: 2 }));
    },
  );
});

describe("parseUserId", () => {
  test("reads a numeric id up to the kernel's highest", () => {
    expect(parseUserId("1337", "--proxy-uid")).toBe(1337);
    expect(parseUserId("4294967294", "--proxy-uid")).toBe(4294967294);
  });

  test.each(["", "0", "root", "-1", "01", "1.5", "4294967295", "99999999999"])("refuses %p", (text) => {
    expect(() => parseUserId(text, "--proxy-uid")).toThrow(expect.objectContaining({ code: "bad-value", exitCode: 2 }));
  });
});
