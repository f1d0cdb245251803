/**
 * What each frame of the peer means where it comes: stream states, flow control, messages, limits (RFC 9113 §5, §6, §8).
 * Hot path: nothing is allocated per DATA frame but the view that `onData` gets; guarded by `connection.bench.ts`.
 */
import { BUDGETS, type BudgetKind, BYTES_PER_UPDATE, LATE_FRAMES_PER_STREAM, UPDATES_PER_STREAM } from "./budgets.ts";
import type { ConnectionState } from "./connection-state.ts";
import { ERROR_CODES, Http2Error } from "./errors.ts";
import { DEFAULT_WINDOW, LARGEST_WINDOW } from "./frame.ts";
import type { HeaderList } from "./handlers.ts";
import { HpackDecoder } from "./hpack-decoder.ts";
import type { InboundSink } from "./inbound.ts";
import { judgeRequest, judgeResponse, trailersFault } from "./message.ts";
import { DISCARD, Stream, type StreamHost } from "./stream.ts";

export class FrameRules implements InboundSink {
  readonly #state: ConnectionState;
  readonly #host: StreamHost;
  readonly #decoder: HpackDecoder;
  /** The stream of the DATA frame being read; undefined when nobody wants it. */
  #dataStream: Stream | undefined = undefined;
  #ready = false;
  #settingsAcked = false;
  /** Bytes that the peer ever let the connection send. */
  #allowed = DEFAULT_WINDOW;
  /** Bytes that we sent, and streams that began, for which WINDOW_UPDATEs were earned already. */
  #bytesCounted = 0;
  #streamsCounted = 0;
  /** Streams that began for which late frames were earned already. */
  #lateCounted = 0;

  constructor(state: ConnectionState, host: StreamHost) {
    this.#state = state;
    this.#host = host;
    this.#decoder = new HpackDecoder({ listBytes: state.local.maxHeaderListSize, fields: state.local.maxHeaderFields });
  }

  dataStart(streamId: number, length: number, padding: number, endStream: boolean): void {
    const state = this.#state;
    this.#dataStream = undefined;
    if (!state.window.take(length)) {
      throw connectionError("FLOW_CONTROL_ERROR", "DATA beyond the window of the connection (RFC 9113 §6.9.1)");
    }
    const stream = state.streams.get(streamId);
    if (stream === undefined) {
      state.credit(length);
      this.#lateFrame(streamId, "DATA", length === padding);
      return;
    }
    // The frame counts as received before it is judged: a refused stream gives the bytes back when it closes.
    stream.unconsumed += length;
    if (this.#refusesData(stream, length, length - padding, endStream)) return;
    if (padding > 0) stream.consume(padding);
    this.#dataStream = stream;
  }

  dataBytes(bytes: Uint8Array, start: number, end: number): void {
    const stream = this.#dataStream;
    if (stream === undefined || stream.closed) return;
    const whole = start === 0 && end === bytes.length;
    stream.handler.onData(stream, whole ? bytes : bytes.subarray(start, end));
  }

  dataEnd(endStream: boolean): void {
    const stream = this.#dataStream;
    this.#dataStream = undefined;
    if (endStream && stream !== undefined && !stream.closed) this.#remoteEnd(stream);
  }

  fieldBlock(streamId: number, endStream: boolean, block: Uint8Array, start: number, end: number): void {
    // Decoded whatever becomes of it: the table must stay in step with the peer's (RFC 9113 §4.3).
    const { headers, tooLarge } = this.#decoder.decode(block, start, end);
    const stream = this.#state.streams.get(streamId);
    if (stream === undefined) {
      if (this.#state.streams.usePeerId(streamId)) this.#request(streamId, headers, tooLarge, endStream);
      else this.#lateFrame(streamId, "HEADERS", true);
    } else if (stream.remoteEnded) {
      this.streamError(streamId, ERROR_CODES.STREAM_CLOSED, "HEADERS after the end of the stream (RFC 9113 §5.1)");
    } else if (tooLarge) {
      this.streamError(streamId, ERROR_CODES.ENHANCE_YOUR_CALM, "the header list passes our limit (RFC 9113 §10.5.1)");
    } else if (this.#state.role === "client" && !stream.answered) {
      this.#response(stream, headers, endStream);
    } else {
      this.#trailers(stream, headers, endStream);
    }
  }

  resetStream(streamId: number, code: number): void {
    const stream = this.#state.streams.get(streamId);
    if (stream === undefined) {
      this.#requireUsed(streamId, "RST_STREAM");
      this.#spendLate();
      return;
    }
    if (this.#state.role === "server" && !stream.answered) this.#spend("reset-received");
    this.#state.close(stream, "reset-by-peer");
    stream.handler.onReset(stream, code);
  }

  peerSettings(bytes: Uint8Array, start: number, end: number): void {
    this.#spend("settings");
    const state = this.#state;
    const before = state.peer.streamWindow;
    state.peer.apply(bytes, start, end, state.role === "client" ? "server" : "client");
    state.out.encoder.setTableLimit(state.peer.headerTableSize);
    const change = state.peer.streamWindow - before;
    if (change !== 0) this.#resizeStreamWindows(change);
    state.out.writer.settingsAck();
    if (!state.canOpen) state.couldOpen = false;
    state.out.schedule();
    if (this.#ready) return;
    this.#ready = true;
    state.handler.onReady?.();
  }

  settingsAcked(): void {
    if (this.#settingsAcked) {
      this.#spend("settings");
      return;
    }
    this.#settingsAcked = true;
    this.#decoder.setTableLimit(this.#state.local.headerTableSize);
  }

  pinged(high: number, low: number): void {
    this.#spend("ping");
    this.#state.out.writer.ping(high, low, true);
    this.#state.out.schedule();
  }

  pingAnswered(high: number, low: number): void {
    if (!this.#state.pings.answered(high, low)) this.#spend("ping");
  }

  peerLeaves(lastStreamId: number, code: number): void {
    const state = this.#state;
    this.#spend("goaway");
    state.departure.peerLeaves(lastStreamId);
    if (state.role === "client") {
      for (const stream of state.streams.all()) {
        if (stream.id <= lastStreamId || stream.closed) continue;
        state.close(stream, "reset-by-peer");
        stream.handler.onReset(stream, ERROR_CODES.REFUSED_STREAM);
      }
    }
    state.out.schedule();
    state.handler.onGoAway?.(code);
  }

  windowUpdate(streamId: number, increment: number): void {
    const state = this.#state;
    this.#spend("window-update", this.#earnedUpdates());
    if (streamId === 0) {
      this.#allowed += increment;
      if (increment === 0) throw connectionError("PROTOCOL_ERROR", "WINDOW_UPDATE of 0 (RFC 9113 §6.9)");
      if (state.out.openWindow(increment)) return;
      throw connectionError("FLOW_CONTROL_ERROR", "the window of the connection passes 2^31-1 (RFC 9113 §6.9.1)");
    }
    const stream = state.streams.get(streamId);
    if (stream === undefined) {
      this.#requireUsed(streamId, "WINDOW_UPDATE");
      return;
    }
    if (increment === 0) {
      this.#spend("zero-window-update");
      this.streamError(streamId, ERROR_CODES.PROTOCOL_ERROR, "WINDOW_UPDATE of 0 (RFC 9113 §6.9)");
      return;
    }
    stream.sendWindow += increment;
    if (stream.sendWindow > LARGEST_WINDOW) {
      this.streamError(streamId, ERROR_CODES.FLOW_CONTROL_ERROR, "its window passes 2^31-1 (RFC 9113 §6.9.1)");
      return;
    }
    state.out.streamWindowOpened(stream);
  }

  ignoredFrame(): void {
    this.#spend("ignored");
  }

  /** RFC 9113 §5.4.2. The stream may be one that never opened. RST_STREAM may not name an idle one (§6.4). */
  streamError(streamId: number, code: number, why: string): void {
    const state = this.#state;
    if (state.streams.isIdle(streamId)) throw Http2Error.connection(code, `stream ${streamId}, which is idle: ${why}`);
    this.#spend("reset-provoked");
    state.out.writer.rstStream(streamId, code);
    state.out.schedule();
    const stream = state.streams.get(streamId);
    if (stream === undefined) state.streams.refuse(streamId);
    else state.close(stream, "reset-by-us");
    state.handler.onStreamError?.(streamId, Http2Error.stream(code, `stream ${streamId}: ${why}`));
    stream?.handler.onReset(stream, code);
  }

  /** Judges a DATA frame of an open stream; true when it cost the stream. */
  #refusesData(stream: Stream, length: number, payload: number, endStream: boolean): boolean {
    if (stream.remoteEnded) {
      this.streamError(stream.id, ERROR_CODES.STREAM_CLOSED, "DATA after the end of the stream (RFC 9113 §5.1)");
      return true;
    }
    if (!stream.receiveWindow.take(length)) {
      this.streamError(stream.id, ERROR_CODES.FLOW_CONTROL_ERROR, "DATA beyond its window (RFC 9113 §6.9.1)");
      return true;
    }
    if (this.#state.role === "client" && !stream.answered) {
      this.streamError(stream.id, ERROR_CODES.PROTOCOL_ERROR, "DATA before the response head (RFC 9113 §8.1)");
      return true;
    }
    if (payload === 0 && !endStream) this.#spend("empty-data");
    if (stream.contentLeft < 0) return false;
    stream.contentLeft -= payload;
    if (stream.contentLeft >= 0) return false;
    this.streamError(stream.id, ERROR_CODES.PROTOCOL_ERROR, "more content than content-length says (RFC 9113 §8.1.1)");
    return true;
  }

  /** HEADERS opened a stream. */
  #request(streamId: number, headers: HeaderList, tooLarge: boolean, endStream: boolean): void {
    const state = this.#state;
    if (state.departure.ignores(streamId)) {
      this.#spend("ignored");
      return;
    }
    if (state.streams.size >= state.local.maxConcurrentStreams) {
      this.#refuse(streamId);
      return;
    }
    if (tooLarge) {
      this.#answerAndReset(streamId, "431", ERROR_CODES.ENHANCE_YOUR_CALM, "the header list passes our limit");
      return;
    }
    const verdict = judgeRequest(headers);
    if (verdict.malformed !== undefined) {
      this.#answerAndReset(streamId, "400", ERROR_CODES.PROTOCOL_ERROR, `malformed request: ${verdict.malformed}`);
      return;
    }
    const { connect, contentLength } = verdict.head;
    if (endStream && contentLength > 0) {
      this.#answerAndReset(streamId, "400", ERROR_CODES.PROTOCOL_ERROR, "malformed request: content-length is a lie");
      return;
    }
    const stream = new Stream(this.#host, streamId, state.peer.streamWindow, state.local.streamWindow);
    stream.connect = connect;
    stream.contentLeft = contentLength;
    state.streams.add(stream);
    const handler = state.handler.onStream(stream, headers, endStream);
    stream.handler = handler ?? DISCARD;
    if (endStream && !stream.closed) this.#remoteEnd(stream);
    if (handler !== undefined || stream.closed) return;
    // Nobody listens: an answer in full needs no more of the request (RFC 9113 §8.1); no answer is a defect above.
    if (stream.localEnded) stream.reset(ERROR_CODES.NO_ERROR);
    else if (!stream.answered) stream.reset(ERROR_CODES.INTERNAL_ERROR);
  }

  /** Beyond MAX_CONCURRENT_STREAMS. Before it has acknowledged them the peer cannot know our limits. */
  #refuse(streamId: number): void {
    this.#spend(this.#settingsAcked ? "reset-provoked" : "ignored");
    this.#state.out.writer.rstStream(streamId, ERROR_CODES.REFUSED_STREAM);
    this.#state.out.schedule();
    this.#state.streams.refuse(streamId);
  }

  /** RFC 9113 §8.1.1 lets a server say what was wrong before it resets the stream. */
  #answerAndReset(streamId: number, status: string, code: number, why: string): void {
    const { out } = this.#state;
    out.writer.headers(streamId, out.encoder.encode([[":status", status]]), true, this.#state.peer.maxFrameSize);
    this.streamError(streamId, code, why);
  }

  #response(stream: Stream, headers: HeaderList, endStream: boolean): void {
    const verdict = judgeResponse(headers);
    if (verdict.malformed !== undefined) {
      this.streamError(stream.id, ERROR_CODES.PROTOCOL_ERROR, `malformed response: ${verdict.malformed}`);
      return;
    }
    const { status, contentLength } = verdict.head;
    if (status < 200) {
      if (endStream) this.streamError(stream.id, ERROR_CODES.PROTOCOL_ERROR, "1xx ends the stream (RFC 9113 §8.1)");
      else this.#spend("ignored");
      return;
    }
    stream.answered = true;
    stream.tunnel = stream.connect && status < 300;
    // HEAD and 304 announce the length of what they leave out (RFC 9110 §8.6).
    if (!stream.tunnel && !stream.head && status !== 304) stream.contentLeft = contentLength;
    if (endStream && stream.contentLeft > 0) {
      this.streamError(
        stream.id,
        ERROR_CODES.PROTOCOL_ERROR,
        "less content than content-length says (RFC 9113 §8.1.1)",
      );
      return;
    }
    stream.handler.onHeaders(stream, headers, endStream);
    if (endStream && !stream.closed) this.#remoteEnd(stream);
  }

  #trailers(stream: Stream, headers: HeaderList, endStream: boolean): void {
    let fault = trailersFault(headers);
    if (!endStream) fault = "trailers do not end the stream (RFC 9113 §8.1)";
    if (stream.contentLeft > 0) fault = "less content than content-length says (RFC 9113 §8.1.1)";
    if (this.#state.role === "server" ? stream.connect : stream.tunnel) fault = "HEADERS in a tunnel (RFC 9113 §8.5)";
    if (fault !== undefined) {
      this.streamError(stream.id, ERROR_CODES.PROTOCOL_ERROR, fault);
      return;
    }
    stream.handler.onTrailers?.(stream, headers);
    if (!stream.closed) this.#remoteEnd(stream);
  }

  /** END_STREAM came. */
  #remoteEnd(stream: Stream): void {
    if (stream.contentLeft > 0) {
      this.streamError(
        stream.id,
        ERROR_CODES.PROTOCOL_ERROR,
        "less content than content-length says (RFC 9113 §8.1.1)",
      );
      return;
    }
    stream.remoteEnded = true;
    if (stream.localEnded) this.#state.close(stream, "ended");
    stream.handler.onEnd(stream);
  }

  /** DATA or HEADERS for a stream that is not open (RFC 9113 §5.1). `empty`: no flow control bounds it. */
  #lateFrame(streamId: number, frame: "DATA" | "HEADERS", empty: boolean): void {
    const state = this.#state;
    this.#requireUsed(streamId, frame);
    if (empty) this.#spendLate();
    if (state.departure.ignores(streamId)) return;
    switch (state.streams.closingOf(streamId)) {
      case "reset-by-us":
        return;
      case "reset-by-peer":
        this.streamError(streamId, ERROR_CODES.STREAM_CLOSED, `${frame} after RST_STREAM (RFC 9113 §5.1)`);
        return;
      case "ended":
        throw connectionError("STREAM_CLOSED", `${frame} on stream ${streamId}, which has ended (RFC 9113 §5.1)`);
      case "forgotten":
        if (frame === "HEADERS") {
          throw connectionError("PROTOCOL_ERROR", `HEADERS reuse stream ${streamId} (RFC 9113 §5.1.1)`);
        }
        // Perhaps sent before our RST_STREAM arrived; to reset it again would only cost an honest peer its budget.
        this.#spend("ignored");
    }
  }

  /** On an idle stream only HEADERS and PRIORITY may come (RFC 9113 §5.1). */
  #requireUsed(streamId: number, frame: string): void {
    if (!this.#state.streams.isIdle(streamId)) return;
    throw connectionError("PROTOCOL_ERROR", `${frame} on stream ${streamId}, which is idle (RFC 9113 §5.1)`);
  }

  /** SETTINGS_INITIAL_WINDOW_SIZE changed by `change`, also for open streams (RFC 9113 §6.9.2). */
  #resizeStreamWindows(change: number): void {
    for (const stream of this.#state.streams.all()) {
      stream.sendWindow += change;
      if (stream.sendWindow > LARGEST_WINDOW) {
        throw connectionError(
          "FLOW_CONTROL_ERROR",
          `the window of stream ${stream.id} passes 2^31-1 (RFC 9113 §6.9.2)`,
        );
      }
      this.#state.out.streamWindowOpened(stream);
    }
  }

  /** WINDOW_UPDATEs that what we sent and the streams that began since the last one allow the peer. */
  #earnedUpdates(): number {
    const { streams, out } = this.#state;
    const forBytes = Math.floor((this.#allowed - out.window - this.#bytesCounted) / BYTES_PER_UPDATE);
    this.#bytesCounted += forBytes * BYTES_PER_UPDATE;
    const forStreams = (streams.begun - this.#streamsCounted) * UPDATES_PER_STREAM;
    this.#streamsCounted = streams.begun;
    return forBytes + forStreams;
  }

  #spendLate(): void {
    const { begun } = this.#state.streams;
    const earned = (begun - this.#lateCounted) * LATE_FRAMES_PER_STREAM;
    this.#lateCounted = begun;
    this.#spend("late", earned);
  }

  #spend(kind: BudgetKind, earned = 0): void {
    if (this.#state.budgets.spend(kind, earned)) return;
    throw connectionError("ENHANCE_YOUR_CALM", `too much of ${kind} (${BUDGETS[kind].lesson})`);
  }
}

function connectionError(code: keyof typeof ERROR_CODES, why: string): Http2Error {
  return Http2Error.connection(ERROR_CODES[code], why);
}
