/** What a peer cannot make us do: keep without bound, work without bound, answer without bound. */
import { describe, expect, test } from "bun:test";
import { frame, frames, Http2Peer, PREFACE } from "../testkit/http2-peer.ts";
import { BUDGETS, type BudgetKind, ERROR_CODES, encodeHeaders, type HeaderList } from "./index.ts";

const CONNECT: HeaderList = [
  [":method", "CONNECT"],
  [":authority", "10.0.0.9:80"],
];
const E = ERROR_CODES;

describe("header lists", () => {
  const cut = (headers: HeaderList, pieces: number): Buffer[] => {
    const block = encodeHeaders(headers);
    const size = Math.ceil(block.length / pieces);
    return Array.from({ length: pieces }, (_, i) =>
      frame(
        i === 0 ? "HEADERS" : "CONTINUATION",
        (i === 0 ? 1 : 0) | (i === pieces - 1 ? 4 : 0),
        1,
        block.subarray(i * size, (i + 1) * size),
      ),
    );
  };

  test("come in up to four CONTINUATIONs, cut anywhere (RFC 9113 §6.10)", async () => {
    const long: HeaderList = [...CONNECT, ["x-long", "v".repeat(50_000)]];
    const peer = await Http2Peer.ready("server");
    for (const byte of Buffer.concat(cut(long, 5))) peer.connection.receive(Uint8Array.of(byte));
    expect(peer.log.take()[0]).toBe(
      `1 request :method=CONNECT :authority=10.0.0.9:80 x-long=${"v".repeat(50_000)} end-stream`,
    );
  });

  test("86: in more CONTINUATIONs end the connection (CVE-2024-27316)", async () => {
    const peer = await Http2Peer.ready("server");
    await peer.send(...cut([...CONNECT, ["x-long", "v".repeat(1000)]], 6));
    expect(peer.verdict()).toBe(E.ENHANCE_YOUR_CALM);
  });

  test("of far more octets than the limit end the connection before they are whole (RFC 9113 §10.5.1)", async () => {
    const peer = await Http2Peer.ready("server", { maxHeaderListSize: 1024 });
    const piece = Buffer.alloc(16_384, 0x80);
    await peer.send(frame("HEADERS", 0, 1, piece), frame("CONTINUATION", 0, 1, piece));
    expect(peer.verdict()).toBe(E.ENHANCE_YOUR_CALM);
  });

  test("in one frame that is far longer end the connection at its header (RFC 9113 §10.5)", async () => {
    const peer = await Http2Peer.ready("server");
    await peer.send(frame("HEADERS", 4, 1, Buffer.alloc(200_000)).subarray(0, 9));
    expect(peer.verdict()).toBe(E.ENHANCE_YOUR_CALM);
  });

  test("that are begun and not ended within 10 s end the connection (RFC 9113 §10.5)", async () => {
    const peer = await Http2Peer.ready("server");
    await peer.send(frame("HEADERS", 0, 1, Buffer.from([0x82])));
    peer.clock.advance(9_999);
    expect(peer.connection.closed).toBe(false);
    peer.clock.advance(1);
    expect(peer.verdict()).toBe(E.ENHANCE_YOUR_CALM);
  });

  test("that end in time leave no timer", async () => {
    const peer = await Http2Peer.ready("server");
    const [first, second] = cut(CONNECT, 2);
    await peer.send(first ?? Buffer.alloc(0));
    expect(peer.clock.pending).toBe(1);
    await peer.send(second ?? Buffer.alloc(0));
    expect(peer.clock.pending).toBe(0);
  });

  test("55: above the limit are answered 431 and reset, and the next request is served (RFC 9113 §10.5.1)", async () => {
    const peer = await Http2Peer.ready("server", { maxHeaderListSize: 1024 });
    await peer.send(frames.headers(1, [...CONNECT, ["x-long", "v".repeat(1000)]]), frames.headers(3, CONNECT));
    expect(peer.seen()).toEqual(["1 HEADERS :status=431 end", `1 RST_STREAM ${E.ENHANCE_YOUR_CALM}`]);
    expect(peer.log.take()).toEqual(["1 error enhance-your-calm", "3 request :method=CONNECT :authority=10.0.0.9:80"]);
  });

  test("of too many fields too", async () => {
    const peer = await Http2Peer.ready("server", { maxHeaderFields: 8 });
    const fields = Array.from({ length: 8 }, (_, i) => [`x-${i}`, "1"] as const);
    await peer.send(frames.headers(1, [...CONNECT, ...fields]));
    expect(peer.seen()[0]).toBe("1 HEADERS :status=431 end");
  });

  test("of responses above the limit cost their stream alone (RFC 9113 §10.5.1)", async () => {
    const peer = await Http2Peer.ready("client", { maxHeaderListSize: 1024 });
    peer.connection.request(CONNECT, peer.log);
    await peer.send(
      frames.headers(1, [
        [":status", "200"],
        ["x-long", "v".repeat(1000)],
      ]),
    );
    expect(peer.log.take()).toEqual(["1 error enhance-your-calm", `1 reset ${E.ENHANCE_YOUR_CALM}`]);
    expect(peer.connection.closed).toBe(false);
  });

  test("of ours above the peer's limit are refused before they are sent (RFC 9113 §6.5.2)", async () => {
    const peer = await Http2Peer.ready("client", {}, [6, 200]);
    expect(() => peer.connection.request([...CONNECT, ["x-long", "v".repeat(200)]], peer.log)).toThrow("limit of 200");
    peer.connection.request(CONNECT, peer.log);
    await peer.turn();
    expect(peer.seen()).toEqual(["1 HEADERS :method=CONNECT :authority=10.0.0.9:80"]);
  });
});

describe("streams at a time", () => {
  test("beyond our limit are refused as not processed (RFC 9113 §5.1.2)", async () => {
    const peer = await Http2Peer.ready("server", { maxConcurrentStreams: 2 });
    await peer.send(frames.headers(1, CONNECT), frames.headers(3, CONNECT), frames.headers(5, CONNECT));
    expect(peer.seen()).toEqual([`5 RST_STREAM ${E.REFUSED_STREAM}`]);
    expect(peer.connection.openStreams).toBe(2);
    await peer.send(frames.reset(1, 8), frames.data(5, "x"), frames.headers(7, CONNECT));
    expect(peer.log.streams.map((stream) => stream.id)).toEqual([1, 3, 7]);
  });

  const flood = (count: number) => Array.from({ length: count }, (_, i) => frames.headers(2 * i + 1, CONNECT));
  const early = async (count: number) => {
    const peer = new Http2Peer("server", { maxConcurrentStreams: 1 });
    await peer.send(Buffer.from(PREFACE), frames.settings(), ...flood(count));
    return peer;
  };

  test("before the peer knows our limit cost it little, afterwards its budget (RFC 9113 §6.5.3)", async () => {
    expect((await early(BUDGETS.ignored.burst)).connection.closed).toBe(false);
    const late = await Http2Peer.ready("server", { maxConcurrentStreams: 1 });
    await late.send(...flood(150));
    expect(late.verdict()).toBe(E.ENHANCE_YOUR_CALM);
  });

  test("by a peer that never acknowledges our limit are not free for ever (RFC 9113 §6.5.3)", async () => {
    expect((await early(BUDGETS.ignored.burst + 2)).verdict()).toBe(E.ENHANCE_YOUR_CALM);
  });
});

describe("budgets", () => {
  /** The frames that cost one token of the kind, number `i` of them. */
  const costs: Readonly<Record<BudgetKind, (i: number) => readonly Buffer[]>> = {
    "reset-received": (i) => [frames.headers(2 * i + 1, CONNECT), frames.reset(2 * i + 1, 8)],
    "reset-provoked": (i) => [frames.headers(2 * i + 1, [["a", "b"]])],
    settings: () => [frames.settings()],
    ping: () => [frames.ping("12345678")],
    "empty-data": (i) => (i === 0 ? [frames.headers(1, CONNECT)] : [frames.data(1, "")]),
    ignored: () => [frame("PRIORITY", 0, 9, Buffer.alloc(5))],
    late: (i) => [i === 0 ? frames.headers(1, CONNECT) : Buffer.alloc(0), frames.reset(1, 8)],
    "window-update": () => [frames.windowUpdate(0, 1)],
    "zero-window-update": (i) => [frames.headers(2 * i + 1, CONNECT), frames.windowUpdate(2 * i + 1, 0)],
    goaway: (i) => [i === 0 ? frames.headers(1, CONNECT) : Buffer.alloc(0), frames.goAway(0, 0)],
  };

  test.each(Object.keys(BUDGETS) as BudgetKind[])(
    "84, 85, 86: %s: a burst passes, more ends the connection, waiting helps",
    async (kind) => {
      const { burst, perSecond } = BUDGETS[kind];
      const peer = await Http2Peer.ready("server");
      let i = 0;
      for (; i < burst - 1; i++) peer.connection.receive(Buffer.concat(costs[kind](i)));
      peer.clock.advance(1000);
      for (let more = 0; more < perSecond; more++) peer.connection.receive(Buffer.concat(costs[kind](i++)));
      expect(peer.connection.closed).toBe(false);
      for (let more = 0; more < 4 && !peer.connection.closed; more++)
        peer.connection.receive(Buffer.concat(costs[kind](i++)));
      expect(peer.verdict()).toBe(E.ENHANCE_YOUR_CALM);
      expect(peer.log.closeError?.message).toContain(BUDGETS[kind].lesson);
    },
  );

  test("a cancelled request that was answered is not charged (CVE-2023-44487)", async () => {
    const peer = await Http2Peer.ready("server");
    peer.log.serve = (stream) => {
      stream.respond([[":status", "200"]]);
      return peer.log;
    };
    for (let i = 0; i < 2000; i++) {
      peer.connection.receive(frames.headers(2 * i + 1, CONNECT));
      peer.connection.receive(frames.reset(2 * i + 1, 8));
    }
    await peer.turn();
    expect(peer.connection.closed).toBe(false);
  });

  test("WINDOW_UPDATEs are free as far as what we sent goes, and for each stream (CVE-2019-9511)", async () => {
    const peer = await Http2Peer.ready("server");
    peer.log.serve = (stream) => {
      stream.respond([[":status", "200"]]);
      stream.write(Buffer.alloc(16_384));
      return peer.log;
    };
    // The peer that updates most often does so after 4 KiB of DATA, for the stream and for the connection.
    for (let i = 0; i < 400; i++) {
      const ofStream = [frames.headers(2 * i + 1, CONNECT), frames.windowUpdate(2 * i + 1, 1 << 20)];
      for (let sent = 0; sent < 16_384; sent += 4096) {
        ofStream.push(frames.windowUpdate(0, 4096), frames.windowUpdate(2 * i + 1, 4096));
      }
      peer.connection.receive(Buffer.concat([...ofStream, frames.reset(2 * i + 1, 8)]));
    }
    expect(peer.connection.closed).toBe(false);
    // And what was not used then is not saved up beyond the burst.
    for (let i = 0; i <= BUDGETS["window-update"].burst + 40; i++) peer.connection.receive(frames.windowUpdate(0, 1));
    expect(peer.verdict()).toBe(E.ENHANCE_YOUR_CALM);
  });

  test("DATA in one-byte pieces, as the peer's window lets it, is bounded (CVE-2019-9511)", async () => {
    const peer = await Http2Peer.ready("server", {}, [4, 0]);
    peer.log.serve = (stream) => {
      stream.respond([[":status", "200"]]);
      stream.write(Buffer.alloc(1));
      return peer.log;
    };
    peer.log.writable = (stream) => void stream.write(Buffer.alloc(10));
    await peer.send(frames.headers(1, CONNECT));
    let updates = 0;
    for (; updates < 5000 && !peer.connection.closed; updates++) {
      peer.connection.receive(frames.windowUpdate(1, 1));
      // So that the byte is sent.
      if (updates < 100) await peer.turn();
    }
    expect(updates).toBeLessThan(BUDGETS["window-update"].burst + 50);
    expect(peer.log.closeError?.message).toContain("CVE-2019-9511");
  });

  test("frames for streams that are over are free as far as they can have crossed ours", async () => {
    const peer = await Http2Peer.ready("server");
    peer.log.serve = (stream) => {
      stream.respond([[":status", "503"]], true);
      return undefined;
    };
    for (let i = 0; i < 1000; i++) {
      const id = 2 * i + 1;
      peer.connection.receive(
        Buffer.concat([frames.headers(id, CONNECT), frames.data(id, "", true), frames.reset(id, 8)]),
      );
    }
    expect(peer.connection.closed).toBe(false);
  });

  test("empty DATA and HEADERS for a stream that we reset are bounded, though each is ignored", async () => {
    for (const late of [frames.data(1, "", true), frames.headers(1, CONNECT)]) {
      const peer = await Http2Peer.ready("server");
      peer.log.serve = (stream) => void stream.reset(E.REFUSED_STREAM);
      await peer.send(frames.headers(1, CONNECT));
      for (let i = 0; i <= BUDGETS.late.burst + 2; i++) peer.connection.receive(late);
      expect(peer.verdict()).toBe(E.ENHANCE_YOUR_CALM);
    }
  });

  test("streams that are opened after our last word are ignored, and bounded", async () => {
    const peer = await Http2Peer.ready("server");
    await peer.send(frames.headers(1, CONNECT));
    peer.connection.goAway();
    await peer.turn();
    peer.clock.advance(1000);
    for (let i = 1; i <= BUDGETS.ignored.burst + 2; i++) peer.connection.receive(frames.headers(2 * i + 1, CONNECT));
    expect(peer.verdict()).toBe(E.ENHANCE_YOUR_CALM);
  });

  test("answers to PINGs that we did not send are bounded", async () => {
    const peer = await Http2Peer.ready("server");
    for (let i = 0; i <= BUDGETS.ping.burst; i++) peer.connection.receive(frames.ping("12345678", true));
    expect(peer.verdict()).toBe(E.ENHANCE_YOUR_CALM);
  });

  test.each([
    ["in many turns", (peer: Http2Peer, bytes: Buffer) => peer.send(bytes)],
    ["in one turn", async (peer: Http2Peer, bytes: Buffer) => peer.connection.receive(bytes)],
  ])("a peer that makes us talk and does not read is left after 1 MiB, %s (CVE-2019-9517)", async (_name, deliver) => {
    const peer = await Http2Peer.ready("server");
    peer.log.serve = (stream) => {
      stream.respond(
        [
          [":status", "200"],
          ["x-long", Math.random().toString(36).repeat(200)],
        ],
        true,
      );
      return undefined;
    };
    peer.room = 0;
    let sent = 0;
    for (; sent < 2000 && !peer.connection.closed; sent++)
      await deliver(peer, frames.headers(2 * sent + 1, CONNECT, true));
    expect(sent).toBeGreaterThan(200);
    expect(sent).toBeLessThan(1000);
    expect(peer.log.closeError?.code).toBe("enhance-your-calm");
    expect(peer.state).toBe("open"); // GOAWAY waits behind what was not read
    peer.clock.advance(1000);
    expect(peer.state).toBe("destroyed");
    expect(peer.clock.pending).toBe(0);
  });
});
