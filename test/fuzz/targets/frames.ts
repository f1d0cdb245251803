/** Frames: how the transport cuts them changes nothing, and what was read can be written and read again. */

import { frame, frames } from "../../../src/testkit/http2-peer.ts";
import { FrameReader, type FrameSink } from "../../../src/tunnel/frame-reader.ts";
import { Inbound, type InboundSink } from "../../../src/tunnel/inbound.ts";
import { Http2Error } from "../../../src/tunnel/index.ts";
import { Dice, seedOf } from "../dice.ts";
import { mutateFrames } from "../http2-frames.ts";
import { promise, same, type Target } from "../target.ts";

/** Small, so that short inputs reach it. */
const MAX_FRAME = 48;
const LARGEST_BLOCK = 100;
const NO_PREFACE = new Uint8Array(0);

interface Seen {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  /** Latin-1; of DATA without padding. */
  payload: string;
  ended: boolean;
  readonly padding: number;
}

/** Writes down each frame. */
class Recorder implements FrameSink {
  readonly seen: Seen[] = [];

  frame(type: number, flags: number, stream: number, bytes: Uint8Array, start: number, end: number): void {
    this.seen.push({ type, flags, stream, payload: text(bytes, start, end), ended: true, padding: 0 });
  }
  dataStart(flags: number, stream: number, length: number, padding: number): void {
    promise(padding <= length && length <= MAX_FRAME, "the padding fits the frame, the frame its limit");
    this.seen.push({ type: 0, flags, stream, payload: "", ended: false, padding });
  }
  dataBytes(bytes: Uint8Array, start: number, end: number): void {
    const last = this.#data();
    promise(end > start, "data is never empty");
    last.payload += text(bytes, start, end);
  }
  dataEnd(): void {
    this.#data().ended = true;
  }

  #data(): Seen {
    const last = this.seen.at(-1);
    promise(last !== undefined && !last.ended, "data comes between the start and the end of its frame");
    return last;
  }
}

/** Writes down what the frames say, one line each. */
class Sayings implements InboundSink {
  readonly said: string[] = [];
  #data = "";

  dataStart(stream: number, length: number, padding: number, endStream: boolean): void {
    this.#data = `data ${stream} ${length} ${padding} ${endStream} `;
  }
  dataBytes(bytes: Uint8Array, start: number, end: number): void {
    this.#data += text(bytes, start, end);
  }
  dataEnd(): void {
    this.said.push(this.#data);
  }
  fieldBlock(stream: number, endStream: boolean, block: Uint8Array, start: number, end: number): void {
    promise(end - start <= LARGEST_BLOCK, "a field block stays within its limit");
    this.said.push(`block ${stream} ${endStream} ${text(block, start, end)}`);
  }
  resetStream(...args: readonly number[]): void {
    this.said.push(`reset ${args}`);
  }
  peerSettings(bytes: Uint8Array, start: number, end: number): void {
    promise((end - start) % 6 === 0, "settings are whole");
    this.said.push(`settings ${text(bytes, start, end)}`);
  }
  settingsAcked(): void {
    this.said.push("acked");
  }
  pinged(...args: readonly number[]): void {
    this.said.push(`ping ${args}`);
  }
  pingAnswered(...args: readonly number[]): void {
    this.said.push(`pong ${args}`);
  }
  peerLeaves(...args: readonly number[]): void {
    this.said.push(`leaves ${args}`);
  }
  windowUpdate(...args: readonly number[]): void {
    promise((args[1] ?? -1) >= 0, "an increment has 31 bits");
    this.said.push(`window ${args}`);
  }
  ignoredFrame(): void {
    this.said.push("ignored");
  }
  streamError(stream: number, code: number): void {
    this.said.push(`error ${stream} ${code}`);
  }
}

export const target: Target = {
  examples: [
    Buffer.concat([frames.settings([4, 70_000]), frames.data(1, "some data", true), frames.ping("12345678")]),
    Buffer.concat([
      frames.settings(),
      frame("HEADERS", 0, 1, Buffer.from("8286", "hex")),
      frame("CONTINUATION", 4, 1, Buffer.from("84", "hex")),
      frame("DATA", 8, 1, Buffer.from("\x03dat\0\0\0")),
      frames.goAway(1, 2),
    ]),
    Buffer.concat([frames.settings(), frame("HEADERS", 0x2d, 1, Buffer.from("\x02\0\0\0\0\x10\x82\0\0"))]),
  ],
  mutate: mutateFrames,
  run(input) {
    const whole = read([input]);
    const dice = new Dice(seedOf(input));
    const byteByByte = Array.from(input, (_, at) => input.subarray(at, at + 1));
    const anyhow: Uint8Array[] = [];
    for (let at = 0; at < input.length; ) {
      const count = 1 + dice.below(20);
      anyhow.push(input.subarray(at, at + count));
      at += count;
    }
    same(read(byteByByte), whole, "frames cut into single bytes");
    same(read(anyhow), whole, "frames cut anywhere");

    const complete = whole.seen.filter(({ ended }) => ended);
    const rewritten = Buffer.concat(complete.map(write));
    same(read([rewritten]).seen, complete, "frames written and read again");
  },
};

interface Read {
  readonly seen: readonly Seen[];
  readonly said: readonly string[];
  readonly errors: readonly (string | undefined)[];
}

/** Both sinks, each fed by a reader of its own. */
function read(chunks: readonly Uint8Array[]): Read {
  const recorder = new Recorder();
  const sayings = new Sayings();
  const errors = [recorder, new Inbound(sayings, LARGEST_BLOCK)].map((sink) => {
    const reader = new FrameReader(sink, MAX_FRAME, LARGEST_BLOCK, NO_PREFACE);
    try {
      // The reader may not keep what it was given.
      for (const chunk of chunks) {
        const lent = new Uint8Array(chunk);
        reader.read(lent);
        lent.fill(0xee);
      }
    } catch (error) {
      if (error instanceof Http2Error && error.scope === "connection") return error.message;
      throw error;
    }
    return undefined;
  });
  return { seen: recorder.seen, said: sayings.said, errors };
}

function write({ type, flags, stream, payload, padding }: Seen): Buffer {
  const content = Buffer.from(payload, "latin1");
  if (padding === 0) return frame(type, flags, stream, content);
  return frame(type, flags, stream, Buffer.concat([Buffer.of(padding - 1), content, Buffer.alloc(padding - 1)]));
}

function text(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.from(bytes.subarray(start, end)).toString("latin1");
}
