import { expect, test } from "bun:test";
import { connect } from "node:net";
import { FakeClock } from "../testkit/fake-clock.ts";
import { OWNER_HANDLERS, type OwnedSocket, type SocketOwner } from "./socket.ts";
import { SocketTransport } from "./transport.ts";

test("a peer that goes on sending after we closed is cut off after 5 s, and what was written arrives before", async () => {
  const clock = new FakeClock();
  const accepted = Promise.withResolvers<OwnedSocket>();
  const nobody: SocketOwner = { opened() {}, received() {}, writable() {}, ended() {}, closed() {} };
  const listener = Bun.listen<SocketOwner>({
    hostname: "127.0.0.1",
    port: 0,
    data: nobody,
    socket: { ...OWNER_HANDLERS, open: accepted.resolve },
  });
  const peer = connect({ host: "127.0.0.1", port: listener.port, allowHalfOpen: true });
  const heard: string[] = [];
  const ended = Promise.withResolvers<void>();
  const closed = Promise.withResolvers<void>();
  peer.on("data", (chunk) => heard.push(chunk.toString()));
  peer.on("end", ended.resolve);
  peer.on("error", () => undefined);
  peer.on("close", () => closed.resolve());
  const talking = setInterval(() => peer.write("more"), 5);
  try {
    const transport = new SocketTransport(await accepted.promise, clock);
    transport.write(Buffer.from("last words"));
    transport.close();
    await ended.promise;
    expect(heard.join("")).toBe("last words");
    expect(peer.closed).toBe(false);
    clock.advance(5_000);
    await closed.promise;
  } finally {
    clearInterval(talking);
    peer.destroy();
    listener.stop(true);
  }
});
