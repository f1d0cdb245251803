/**
 * Which addresses this proxy follows, and the wait for discovery's answer to a new one.
 *
 * The four answers (ARCHITECTURE.md "Protocols"): meshed, known unmeshed, authoritatively absent, no answer. An absent
 * address passes, except inside a pod range: a pod that was just made may not be known yet, so the connection waits for
 * it and then fails. Without an answer an address inside the mesh's ranges fails and one outside passes.
 */
import type { Clock, Ip, Millis, Random } from "../mesh/index.ts";
import { AddressBook } from "./address-book.ts";
import { Ranges } from "./ranges.ts";
import { type Route, routeTo } from "./route.ts";

/** Inside the ranges: for an answer, and for a new pod. */
export const INSIDE_WAIT: Millis = 5_000;
/** Outside them: a destination that is no part of the mesh must not suffer from a slow operator. */
export const OUTSIDE_WAIT: Millis = 1_000;
/** Addresses followed at a time; the least recently used one is given up for a new one. */
export const FOLLOW_LIMIT = 4_096;

/** Tells the discovery stream what changed in the set of followed addresses. */
export interface Subscriptions {
  /** Number of the stream that is up and has answered; undefined while there is none. */
  readonly session: number | undefined;
  subscribe(ip: Ip): void;
  unsubscribe(ip: Ip): void;
}

export type OnRoute = (route: Route) => void;

interface Followed {
  /** The last session in which discovery answered for this address; undefined before its first answer. */
  answeredIn: number | undefined;
  readonly waiting: Set<Wait>;
}

interface Wait {
  readonly ip: Ip;
  readonly port: number;
  readonly onRoute: OnRoute;
  deadline: Disposable | undefined;
}

export class Resolver {
  readonly book = new AddressBook();
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #subscriptions: Subscriptions;
  readonly #limit: number;
  /** In the order of last use. */
  readonly #followed = new Map<Ip, Followed>();
  #ranges = new Ranges({ podRanges: [], serviceRanges: [] });

  constructor(clock: Clock, random: Random, subscriptions: Subscriptions, limit: number = FOLLOW_LIMIT) {
    this.#clock = clock;
    this.#random = random;
    this.#subscriptions = subscriptions;
    this.#limit = limit;
  }

  setRanges(ranges: Ranges): void {
    this.#ranges = ranges;
  }

  /** Every followed address, for a new stream. */
  followed(): Ip[] {
    return [...this.#followed.keys()];
  }

  get size(): number {
    return this.#followed.size;
  }

  /**
   * Calls `onRoute` exactly once: at once when the address is known, within 5 s otherwise. Who waits may dispose the wait:
   * then there is no call.
   */
  resolve(ip: Ip, port: number, onRoute: OnRoute): Disposable | undefined {
    const followed = this.#follow(ip);
    const route = routeTo(this.book, ip, port, this.#random) ?? this.#passing(followed, ip, port);
    if (route !== undefined) {
      onRoute(route);
      return undefined;
    }
    const wait: Wait = { ip, port, onRoute, deadline: undefined };
    const span = this.#ranges.holds(ip) ? INSIDE_WAIT : OUTSIDE_WAIT;
    wait.deadline = this.#clock.after(span, () => this.#give(followed, wait, true));
    followed.waiting.add(wait);
    return { [Symbol.dispose]: () => this.#leave(followed, wait) };
  }

  /** Discovery has answered for these addresses, in the book or by their absence: whoever waits may go on. */
  answered(ips: Iterable<Ip>): void {
    for (const ip of ips) {
      const followed = this.#followed.get(ip);
      if (followed === undefined) continue;
      followed.answeredIn = this.#subscriptions.session;
      for (const wait of [...followed.waiting]) this.#give(followed, wait, false);
    }
  }

  #give(followed: Followed, wait: Wait, late: boolean): void {
    const route = routeTo(this.book, wait.ip, wait.port, this.#random) ?? this.#unknown(followed, wait, late);
    if (route === undefined) return;
    this.#leave(followed, wait);
    wait.onRoute(route);
  }

  #leave(followed: Followed, wait: Wait): void {
    wait.deadline?.[Symbol.dispose]();
    followed.waiting.delete(wait);
  }

  /** The route to an address that nobody is known to have, where it need not wait; undefined where it must. */
  #passing(followed: Followed, ip: Ip, port: number): Route | undefined {
    if (this.#ranges.holdsPod(ip)) return undefined;
    if (this.#isAbsent(followed)) return external(ip, port);
    if (this.#ranges.holds(ip)) return undefined;
    // A stream that is down answers nothing soon, and outside the mesh an old answer is as good as a new one.
    const waits = this.#subscriptions.session !== undefined && followed.answeredIn === undefined;
    return waits ? undefined : external(ip, port);
  }

  /** Undefined: it still waits for a pod to appear. */
  #unknown(followed: Followed, { ip, port }: Wait, late: boolean): Route | undefined {
    const absent = this.#isAbsent(followed);
    if (!this.#ranges.holdsPod(ip) && (absent || !this.#ranges.holds(ip))) return external(ip, port);
    if (!late) return undefined;
    return { kind: "refuse", reason: "failed-discovery", detail: absent ? "no such pod" : "discovery did not answer" };
  }

  /** Discovery says that nobody has the address. What an earlier stream said may have changed since. */
  #isAbsent(followed: Followed): boolean {
    const { session } = this.#subscriptions;
    return session !== undefined && followed.answeredIn === session;
  }

  #follow(ip: Ip): Followed {
    const known = this.#followed.get(ip);
    if (known !== undefined) {
      this.#followed.delete(ip);
      this.#followed.set(ip, known);
      return known;
    }
    const followed: Followed = { answeredIn: undefined, waiting: new Set() };
    this.#followed.set(ip, followed);
    this.#subscriptions.subscribe(ip);
    if (this.#followed.size > this.#limit) this.#giveUpOldest(followed);
    return followed;
  }

  /** While the operator is away, only what is not known: the rest could not be asked for again. */
  #giveUpOldest(newest: Followed): void {
    const away = this.#subscriptions.session === undefined;
    for (const [ip, followed] of this.#followed) {
      if (followed === newest || followed.waiting.size > 0 || (away && this.book.at(ip) !== undefined)) continue;
      this.#followed.delete(ip);
      this.book.release(ip, (one) => this.#followed.has(one));
      this.#subscriptions.unsubscribe(ip);
      if (this.#followed.size <= this.#limit) return;
    }
  }
}

function external(ip: Ip, port: number): Route {
  return { kind: "plain", reason: "plaintext-external", ip, port };
}
