/**
 * Who calls is settled on the call's headers, before a byte of its message is read: until then grpc-js leaves the stream
 * paused, so that a stranger fills one flow-control window and nothing more.
 */
import * as grpc from "@grpc/grpc-js";
import { type Clock, type Logger, type Millis, Rate } from "../mesh/index.ts";
import type { Caller, Callers } from "./callers.ts";
import { asRefusal, type Refusal } from "./errors.ts";

/** Log lines of refusals: what strangers provoke must not push what was issued out of the log. */
const LINES_AT_ONCE = 50;
const LINE_EVERY: Millis = 100;
/** Longer than any message of ours: what a stranger had a part in must not fill the log. */
const LONGEST_CAUSE = 1_024;

export class Authentication {
  readonly #callers: Callers;
  readonly #logger: Logger;
  readonly #lines: Rate;
  #suppressed = 0;
  /** By the call's metadata, which is the same object in the handler. */
  readonly #known = new WeakMap<grpc.Metadata, Caller>();

  constructor(callers: Callers, logger: Logger, clock: Clock) {
    this.#callers = callers;
    this.#logger = logger;
    this.#lines = new Rate(clock, LINE_EVERY, LINES_AT_ONCE);
  }

  /** For the server: a call that is refused never reaches its handler. */
  readonly interceptor: grpc.ServerInterceptor = (method, call) =>
    new grpc.ServerInterceptingCall(call, {
      start: (next) => {
        const listener = new grpc.ServerListenerBuilder()
          .withOnReceiveMetadata((metadata, pass) => {
            this.#callers
              .authenticate(metadata.get("authorization").map(String))
              .then((caller) => {
                this.#known.set(metadata, caller);
                pass(metadata);
              })
              .catch((error: unknown) => {
                const { code, details } = this.refused(method.path, call.getPeer(), error);
                call.sendStatus({ code, details, metadata: null });
              });
          })
          .build();
        next(listener);
      },
    });

  /** Who made a call that reached its handler. */
  callerOf(metadata: grpc.Metadata): Caller {
    const caller = this.#known.get(metadata);
    if (caller === undefined) throw new Error("a call reached its handler without authentication");
    return caller;
  }

  /** One audit line for a call that is refused, as far as the rate allows. */
  refused(what: string, peer: string, error: unknown): Refusal {
    const refusal = asRefusal(error);
    if (refusal.reason !== "defect" && !this.#lines.take()) {
      this.#suppressed++;
      return refusal;
    }
    const suppressed = this.#suppressed === 0 ? undefined : this.#suppressed;
    this.#suppressed = 0;
    this.#logger.log(refusal.reason === "defect" ? "error" : "warn", "call refused", {
      what,
      peer,
      reason: refusal.reason,
      detail: refusal.message,
      cause: causeText(refusal),
      suppressed,
    });
    return refusal;
  }
}

function causeText({ cause, reason }: Refusal): string | undefined {
  if (cause === undefined) return undefined;
  if (!(cause instanceof Error)) return String(cause).slice(0, LONGEST_CAUSE);
  return reason === "defect" ? (cause.stack ?? cause.message) : cause.message.slice(0, LONGEST_CAUSE);
}
