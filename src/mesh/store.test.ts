import { expect, test } from "bun:test";
import { MemoryStore, type StoreChange } from "./store.ts";

test("a follower sees each change in order, with what was there before, until it is disposed", () => {
  const store = new MemoryStore<number>();
  const seen: StoreChange<number>[] = [];
  const following = store.follow((change) => seen.push(change));
  store.set("a", 1);
  store.set("a", 2);
  store.delete("a");
  store.delete("a");
  following[Symbol.dispose]();
  store.set("b", 1);
  expect(seen).toEqual([
    { kind: "set", key: "a", value: 1, before: undefined },
    { kind: "set", key: "a", value: 2, before: 1 },
    { kind: "delete", key: "a", before: 2 },
  ]);
});
