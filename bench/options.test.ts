import { describe, expect, test } from "bun:test";
import { TESTS } from "./metrics.ts";
import { readOptions } from "./options.ts";

const ALL = ["direct", "tulle", "nginx", "envoy-tcp"];

describe("readOptions", () => {
  test("without variables is the whole comparison", () => {
    const options = readOptions({}, ALL);
    expect(options).toEqual({ pairs: ALL, tests: TESTS, rounds: 5, quietBelow: 0.5, profile: false, partial: false });
  });

  test("takes a choice in the order of the table, and calls it partial", () => {
    const options = readOptions({ PAIRS: "nginx, tulle", TESTS: "bulk,keepalive", ROUNDS: "3" }, ALL);
    expect(options.pairs).toEqual(["tulle", "nginx"]);
    expect(options.tests).toEqual(["keepalive", "bulk"]);
    expect(options.rounds).toBe(3);
    expect(options.partial).toBe(true);
  });

  test("more rounds make it no partial one; fewer, a profile or a noisy machine do", () => {
    expect(readOptions({ ROUNDS: "9" }, ALL).partial).toBe(false);
    expect(readOptions({ ROUNDS: "4" }, ALL).partial).toBe(true);
    expect(readOptions({ PROFILE: "1" }, ALL)).toMatchObject({ profile: true, partial: true });
    expect(readOptions({ QUIET_BELOW: "2" }, ALL)).toMatchObject({ quietBelow: 2, partial: true });
    expect(readOptions({ QUIET_BELOW: "0.2" }, ALL).partial).toBe(false);
  });

  test("names what is unknown, and what there is", () => {
    expect(() => readOptions({ PAIRS: "tulle,caddy" }, ALL)).toThrow(
      "PAIRS: there is no caddy; there are direct, tulle",
    );
    expect(() => readOptions({ TESTS: "bulky" }, ALL)).toThrow("TESTS: there is no bulky");
  });

  test.each(["0", "-1", "many", "2.5"])("refuses %s rounds", (rounds) => {
    expect(() => readOptions({ ROUNDS: rounds }, ALL)).toThrow(`ROUNDS=${rounds}`);
  });

  test("seventy is refused without nginx's requests/s", () => {
    expect(() => readOptions({ TESTS: "seventy" }, ALL)).toThrow("nginx");
    expect(() => readOptions({ TESTS: "keepalive,seventy", PAIRS: "tulle" }, ALL)).toThrow("nginx");
    expect(readOptions({ TESTS: "keepalive,seventy" }, ALL).tests).toEqual(["keepalive", "seventy"]);
  });
});
