/**
 * What a gRPC server answers, as the sidecar's client reads it: messages however they are cut, the status in the trailers, and the
 * one message of a health check.
 */
import { frameMessage, MessageReader } from "../../../src/proxy/grpc-frame.ts";
import { badHead, statusOf } from "../../../src/proxy/grpc-status.ts";
import { decodeStatus } from "../../../src/proxy/probe-grpc.ts";
import { Dice, seedOf } from "../dice.ts";
import { bytesOf, promise, same, type Target, unlessRefused } from "../target.ts";

/** Small, so that short inputs reach it. */
const LIMIT = 200;

export const target: Target = {
  examples: [
    Buffer.concat([frameMessage(bytesOf("first")), frameMessage(new Uint8Array(0)), frameMessage(bytesOf("last"))]),
    Buffer.concat([frameMessage(Uint8Array.of(8, 1)), Buffer.of(0, 0, 0, 0, 9, 1)]),
    bytesOf("grpc-status: 14\ngrpc-message: no%20room\n:status: 200\ncontent-type: application/grpc"),
    Uint8Array.of(8, 0x81, 0x80, 0),
  ],
  longest: 500,
  tokens: ["grpc-status: ", "grpc-message: ", "%", "%e2%82", "\n", ": ", "\0\0\0\0\x05", "\x08\x01"].map(bytesOf),
  run(input) {
    const whole = read([input]);
    const dice = new Dice(seedOf(input));
    const chunks: Uint8Array[] = [];
    for (let at = 0; at < input.length; ) {
      const count = 1 + dice.below(8);
      chunks.push(input.subarray(at, at + count));
      at += count;
    }
    same(read(chunks), whole, "messages cut anywhere");
    const again = Buffer.concat(whole.messages.map((message) => frameMessage(Buffer.from(message, "latin1"))));
    promise(Buffer.from(input.subarray(0, again.length)).equals(again), "messages are what was framed");

    const lines = Buffer.from(input).toString("latin1").split("\n");
    const headers = lines.map((line) => line.split(": ", 2) as [string, string]).filter(({ length }) => length === 2);
    const { code, message } = statusOf(headers);
    promise(Number.isInteger(code) && code >= 0 && message.length <= 1024, "a status is a number and a short text");
    badHead(headers);

    const status = unlessRefused(
      () => decodeStatus(input),
      (error) => error instanceof Error && error.message.endsWith("HealthCheckResponse"),
    );
    promise(status === undefined || Number.isInteger(status), "a serving status is a number");
  },
};

function read(chunks: readonly Uint8Array[]): {
  readonly messages: readonly string[];
  readonly wrong: string | undefined;
} {
  const reader = new MessageReader(LIMIT);
  const messages: string[] = [];
  for (const chunk of chunks) {
    const lent = new Uint8Array(chunk);
    const found = reader.push(lent);
    lent.fill(0xee);
    // What was complete before something is wrong may be told or not: the call fails.
    if (typeof found === "string") return { messages: [], wrong: found };
    for (const message of found) {
      promise(message.length <= LIMIT, "a message stays within its limit");
      messages.push(Buffer.from(message).toString("latin1"));
    }
  }
  return { messages, wrong: undefined };
}
