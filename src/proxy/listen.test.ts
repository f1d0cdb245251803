import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { connect } from "node:net";
import { ProxyError } from "./errors.ts";
import { type Listener, type ListenOptions, listen, listenOnAll, listenOnFirst } from "./listen.ts";
import { abort, type OwnedSocket } from "./socket.ts";

/** TEST-NET-1 and its like in IPv6: no machine has these addresses. */
const NOBODYS_V4 = "192.0.2.1";
const NOBODYS_V6 = "2001:db8::1";

let listeners: Listener[];
let accepted: string[];
beforeEach(() => {
  listeners = [];
  accepted = [];
});
afterEach(() => {
  for (const listener of listeners) listener.stop(true);
});

const options: Omit<ListenOptions, "host"> = {
  port: 0,
  what: "a test",
  allowHalfOpen: true,
  direction: "inbound",
  accessLog: { refuse: () => undefined },
  accept: (socket: OwnedSocket) => {
    accepted.push(socket.remoteAddress);
    abort(socket);
  },
};

function reaches(host: string, port: number): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect(port, host);
    socket.on("error", () => undefined);
    socket.on("close", () => resolve());
  });
}

function failure(bind: () => unknown): ProxyError {
  try {
    bind();
  } catch (error) {
    if (error instanceof ProxyError) return error;
    throw error;
  }
  throw new Error("it was bound");
}

describe("one listener on ::", () => {
  test("takes IPv4 and IPv6", async () => {
    const listener = listenOnFirst(["::", "0.0.0.0"], options);
    listeners.push(listener);
    await reaches("127.0.0.1", listener.port);
    await reaches("::1", listener.port);
    expect(accepted).toEqual(["::ffff:127.0.0.1", "::1"]);
  });

  test("gives way to the next host where the address is not there", async () => {
    const listener = listenOnFirst([NOBODYS_V6, "127.0.0.1"], options);
    listeners.push(listener);
    await reaches("127.0.0.1", listener.port);
    expect(accepted).toEqual(["127.0.0.1"]);
  });
});

describe("a listener on all hosts", () => {
  test("leaves out a later host that is not there", () => {
    listeners = listenOnAll(["127.0.0.1", NOBODYS_V6], options, false);
    expect(listeners).toHaveLength(1);
  });

  test("fails when the pod needs that family, and leaves nothing bound", () => {
    // Bound and given back, so that the port is known to be free.
    const free = listen({ ...options, host: "127.0.0.1" });
    free.stop(true);
    const error = failure(() => listenOnAll(["127.0.0.1", NOBODYS_V6], { ...options, port: free.port }, true));
    expect(error).toMatchObject({ code: "bind-failed", exitCode: 1 });
    listeners.push(listen({ ...options, host: "127.0.0.1", port: free.port }));
  });

  test("fails without its first host", () => {
    expect(failure(() => listenOnAll([NOBODYS_V4, "127.0.0.1"], options, false)).message).toContain(NOBODYS_V4);
  });
});

test("a port that is taken is said to be taken, and what to do", () => {
  const first = listen({ ...options, host: "127.0.0.1" });
  listeners.push(first);
  const error = failure(() => listen({ ...options, host: "127.0.0.1", port: first.port }));
  expect(error.message).toBe(`cannot listen on 127.0.0.1 port ${first.port} (a test): another process listens there`);
  expect(error.hint).toContain("15000 to 15021");
});
