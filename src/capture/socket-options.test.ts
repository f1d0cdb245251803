import { dlopen } from "bun:ffi";
import { describe, expect, test } from "bun:test";
import { originalDestination, resetOnClose, setKeepAlive, socketDescriptor } from "./socket-options.ts";

/** Connects a pair on loopback, hands over the accepted end and answers how the client saw it end. */
async function pair(host: string, run: (accepted: Bun.Socket<undefined>) => void): Promise<"FIN" | "RST"> {
  const ended = Promise.withResolvers<"FIN" | "RST">();
  const server = Bun.listen<undefined>({ hostname: host, port: 0, socket: { open: run, data() {} } });
  try {
    await Bun.connect({
      hostname: host,
      port: server.port,
      socket: {
        data() {},
        end: () => ended.resolve("FIN"),
        close: (_socket, error) => {
          if (error !== undefined && error !== null) ended.resolve("RST");
        },
      },
    });
    return await ended.promise;
  } finally {
    server.stop(true);
  }
}

describe.each(["127.0.0.1", "::1"])("on a socket of %s", (host) => {
  test("a connection that no rule redirected has no original destination", async () => {
    const seen: unknown[] = [];
    await pair(host, (socket) => {
      seen.push(originalDestination(socketDescriptor(socket)));
      socket.end();
    });
    expect(seen).toEqual([undefined]);
  });

  test("end() closes with FIN, and with RST after resetOnClose", async () => {
    expect(await pair(host, (socket) => void socket.end())).toBe("FIN");
    const set: boolean[] = [];
    const ended = await pair(host, (socket) => {
      set.push(resetOnClose(socketDescriptor(socket)));
      socket.end();
    });
    expect(ended).toBe("RST");
    expect(set).toEqual([true]);
  });

  test("setKeepAlive sets idle time, interval and count, and Bun has set TCP_NODELAY", async () => {
    const libc = dlopen("libc.so.6", {
      getsockopt: { args: ["i32", "i32", "i32", "ptr", "ptr"], returns: "i32" },
    }).symbols;
    const read = (fd: number, level: number, option: number) => {
      const number = new Int32Array(1);
      expect(libc.getsockopt(fd, level, option, number, new Uint32Array([4]))).toBe(0);
      return number[0];
    };
    const seen: unknown[] = [];
    await pair(host, (socket) => {
      const fd = socketDescriptor(socket);
      seen.push(setKeepAlive(fd, 180, 30, 4));
      // SO_KEEPALIVE, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT, TCP_NODELAY (Linux numbers)
      for (const [level, option] of [
        [1, 9],
        [6, 4],
        [6, 5],
        [6, 6],
        [6, 1],
      ] as const)
        seen.push(read(fd, level, option));
      socket.end();
    });
    expect(seen).toEqual([true, 1, 180, 30, 4, 1]);
  });
});

test("a descriptor that is no socket is answered, not thrown", () => {
  const file = Bun.file("/proc/self/status");
  expect(socketDescriptor(file)).toBe(-1);
  expect(originalDestination(-1)).toBeUndefined();
  expect(resetOnClose(-1)).toBe(false);
  expect(setKeepAlive(-1, 1, 1, 1)).toBe(false);
});
