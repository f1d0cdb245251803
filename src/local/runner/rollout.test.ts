import { describe, expect, test } from "bun:test";
import { type RolloutPod, recreate, rollout } from "./rollout.ts";

const pod = (name: string, hash: string, ready = true): RolloutPod => ({ name, hash, ready, finished: false });

describe("rollout", () => {
  test("makes one pod more, and removes an old one when that is ready", () => {
    const old = [pod("a", "old"), pod("b", "old")];
    expect(rollout(old, 2, "new")).toEqual({ create: 1, remove: [] });
    expect(rollout([...old, pod("c", "new", false)], 2, "new")).toEqual({ create: 0, remove: [] });
    expect(rollout([...old, pod("c", "new")], 2, "new")).toEqual({ create: 1, remove: ["a"] });
  });
});

describe("recreate", () => {
  test("makes no new pod before every old one is gone", () => {
    expect(recreate([pod("a", "old"), pod("b", "old")], 2, "new", false)).toEqual({ create: 0, remove: ["a", "b"] });
    expect(recreate([], 2, "new", true)).toEqual({ create: 0, remove: [] });
    expect(recreate([], 2, "new", false)).toEqual({ create: 2, remove: [] });
    expect(recreate([pod("c", "new")], 1, "new", false)).toEqual({ create: 0, remove: [] });
  });
});
