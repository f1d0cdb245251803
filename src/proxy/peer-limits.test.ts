import { expect, test } from "bun:test";
import type { SpiffeId } from "../identity/index.ts";
import { PEER_LIMITS, PeerLimits, type TunnelPlace } from "./peer-limits.ts";

const A = "spiffe://cluster.local/ns/shop/sa/a" as SpiffeId;
const B = "spiffe://cluster.local/ns/shop/sa/b" as SpiffeId;

function admit(limits: PeerLimits, peer: SpiffeId, address: string): TunnelPlace {
  const place = limits.admit(peer, address);
  if (place === undefined) throw new Error("no place");
  return place;
}

test("one identity at one address has so many tunnels; others have their own", () => {
  const limits = new PeerLimits();
  const places = Array.from({ length: PEER_LIMITS.tunnels }, () => admit(limits, A, "10.0.0.1"));
  expect(limits.admit(A, "10.0.0.1")).toBeUndefined();
  const others = [admit(limits, A, "10.0.0.2"), admit(limits, B, "10.0.0.1")];
  places.pop()?.give();
  places.push(admit(limits, A, "10.0.0.1"));
  for (const place of [...places, ...others]) place.give();
  expect(limits.size).toBe(0);
});

test("streams are counted over all tunnels of a peer, also those that outlive their tunnel", () => {
  const limits = new PeerLimits();
  const [one, two] = [admit(limits, A, "10.0.0.1"), admit(limits, A, "10.0.0.1")];
  for (let i = 0; i < PEER_LIMITS.streams; i++) expect((i % 2 === 0 ? one : two).takeStream()).toBe(true);
  expect([one.takeStream(), two.takeStream()]).toEqual([false, false]);
  two.give();
  one.give();
  const again = admit(limits, A, "10.0.0.1");
  expect(again.takeStream()).toBe(false);
  two.giveStream();
  expect(again.takeStream()).toBe(true);
  again.give();
  for (let i = 0; i < PEER_LIMITS.streams; i++) one.giveStream();
  expect(limits.size).toBe(0);
});

test("few tunnels have wide windows, fewer of one peer, and a place is free again when one of them ends", () => {
  const limits = new PeerLimits();
  const isWide = ({ settings }: TunnelPlace) => settings.connectionWindow === undefined;
  const ofOne = Array.from({ length: PEER_LIMITS.wideTunnelsOfAPeer + 1 }, () => admit(limits, A, "10.0.0.1"));
  expect(ofOne.map(isWide)).toEqual([true, true, false]);
  const ofMany = Array.from({ length: PEER_LIMITS.wideTunnels }, (_, i) => admit(limits, A, `10.0.1.${i}`));
  expect(ofMany.filter(isWide)).toHaveLength(PEER_LIMITS.wideTunnels - PEER_LIMITS.wideTunnelsOfAPeer);
  const late = admit(limits, B, "10.0.0.9");
  expect(isWide(late)).toBe(false);
  ofMany[0]?.give();
  expect(isWide(admit(limits, B, "10.0.0.9"))).toBe(true);
});
