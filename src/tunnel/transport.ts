/** What carries the bytes of one connection: a TLS socket in the proxy, an in-memory pair in tests. */

/**
 * An ordered byte stream, already connected. None of its methods may call back into the connection before it returns.
 * What it reports goes to the connection: `receive`, `transportWritable`, `transportClosed`.
 */
export interface ByteTransport {
  /**
   * Takes what it can and returns how many bytes that was (0 to `bytes.length`); `bytes` is reused after the call. Fewer
   * than all of them means blocked: nothing more is written until `transportWritable()`.
   */
  write(bytes: Uint8Array): number;
  /** Closes after what was written has gone out. */
  close(): void;
  /** Closes at once; what was not sent yet is lost. */
  destroy(): void;
  /** Stops delivering received bytes, so that the peer feels it; for the owner of the transport. */
  pauseReading(): void;
  resumeReading(): void;
}
