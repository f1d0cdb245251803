/** The client that h2specd judges: makes one GET to the URL of its argument, and leaves when it is answered or refused. */
import { connect } from "node:net";
import { type ByteTransport, Http2Connection, type StreamHandler } from "../../src/tunnel/index.ts";

const url = new URL(process.argv[2] ?? "");
const socket = connect({ host: url.hostname, port: Number(url.port) });
const transport: ByteTransport = {
  write(bytes) {
    socket.write(bytes.slice());
    return bytes.length;
  },
  close: () => void socket.end(),
  destroy: () => void socket.destroy(),
  pauseReading: () => void socket.pause(),
  resumeReading: () => void socket.resume(),
};
const connection = new Http2Connection({
  role: "client",
  transport,
  handler: { onStream: () => undefined, onClose() {} },
});
const handler: StreamHandler = {
  onHeaders() {},
  onData: (stream, chunk) => stream.consume(chunk.length),
  onEnd: () => connection.goAway(),
  onReset: () => connection.goAway(),
  onWritable() {},
};
connection.request(
  [
    [":method", "GET"],
    [":scheme", "http"],
    [":path", url.pathname],
    [":authority", url.host],
  ],
  handler,
  true,
);
socket.on("data", (chunk: Buffer) => connection.receive(chunk));
socket.on("error", () => undefined);
socket.on("close", () => connection.transportClosed());
