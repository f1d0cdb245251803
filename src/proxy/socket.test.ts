import { afterEach, expect, test } from "bun:test";
import { connect } from "node:net";
import { drained } from "../testkit/loopback-mesh.ts";
import { type Listener, listen } from "./listen.ts";
import { type OwnedSocket, reportDefects, type SocketOwner } from "./socket.ts";

let listener: Listener | undefined;
afterEach(() => {
  listener?.stop(true);
  reportDefects(() => undefined);
});

class Owner implements SocketOwner {
  readonly ended = () => undefined;
  readonly opened = () => undefined;
  readonly writable = () => undefined;
  readonly over = Promise.withResolvers<void>();

  received(): void {
    throw new Error("a defect");
  }

  closed(): void {
    this.over.resolve();
  }
}

test("an owner that throws loses its own connection, by a reset, and the defect is reported", async () => {
  const defects: string[] = [];
  reportDefects((error) => defects.push(error.message));
  const owner = new Owner();
  listener = listen({
    host: "127.0.0.1",
    port: 0,
    what: "a test",
    allowHalfOpen: true,
    direction: "inbound",
    accessLog: { refuse: () => undefined },
    accept: (socket: OwnedSocket) => {
      socket.data = owner;
    },
  });
  const socket = connect(listener.port, "127.0.0.1");
  socket.write("anything");
  expect((await drained(socket)).end).toBe("ECONNRESET");
  await owner.over.promise;
  expect(defects).toEqual(["a defect"]);
});

test("whoever throws while a connection is accepted loses only that one", async () => {
  const defects: string[] = [];
  reportDefects((error) => defects.push(error.message));
  let count = 0;
  listener = listen({
    host: "127.0.0.1",
    port: 0,
    what: "a test",
    allowHalfOpen: true,
    direction: "inbound",
    accessLog: { refuse: () => undefined },
    upgraded: true,
    accept: (socket: OwnedSocket) => {
      count++;
      if (count === 1) throw new Error("a defect");
      socket.end("hello");
    },
  });
  const first = connect(listener.port, "127.0.0.1");
  expect((await drained(first)).end).not.toBe("fin");
  const second = connect(listener.port, "127.0.0.1");
  expect((await drained(second)).bytes.toString()).toBe("hello");
  expect(defects).toEqual(["a defect"]);
});
