/** What the inner runner tells its supervisor: one JSON object a line. */

export type PlayEvent =
  /** The node's namespaces stand: egress may be attached. */
  | { readonly type: "node"; readonly nodePid: number }
  /** A step of the start is done. */
  | { readonly type: "step"; readonly text: string }
  /** Something that a person should know. */
  | { readonly type: "notice"; readonly text: string }
  /** A pod's line of `get pods` changed. */
  | {
      readonly type: "pod";
      readonly namespace: string;
      readonly name: string;
      readonly status: string;
      readonly ready: string;
      /** It is ready, or ended well. */
      readonly settled: boolean;
      readonly troubles: readonly string[];
      /** Seconds since it was made. */
      readonly age: number;
    }
  | { readonly type: "pod-gone"; readonly namespace: string; readonly name: string }
  /** Every pod of the first manifest is ready or ended well. */
  | { readonly type: "ready"; readonly pods: number; readonly seconds: number }
  /** Somebody asked for the end through the control socket, or a signal did. */
  | { readonly type: "stopping" }
  /** It could not start. */
  | {
      readonly type: "failed";
      readonly code: string;
      readonly message: string;
      readonly hint: string | undefined;
      readonly exitCode: 1 | 2;
    };

/** What the supervisor tells the inner runner after the configuration, one JSON object a line. */
export type PlayOrder =
  | { readonly type: "stop" }
  | { readonly type: "egress"; readonly ok: boolean; readonly why?: string };

/** Splits a byte stream into lines; what is left at the end without a newline is dropped. */
export async function* linesOf(stream: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of stream) {
    rest += decoder.decode(chunk, { stream: true });
    for (;;) {
      const end = rest.indexOf("\n");
      if (end < 0) break;
      yield rest.slice(0, end);
      rest = rest.slice(end + 1);
    }
  }
}
