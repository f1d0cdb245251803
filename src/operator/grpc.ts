/** The operator's gRPC services on grpc-js: who calls is settled before a handler sees a message. */
import * as grpc from "@grpc/grpc-js";
import type { Logger } from "../mesh/index.ts";
import {
  type DeltaDiscoveryRequest,
  type DeltaDiscoveryResponse,
  METHODS,
  type Method,
  type ReplicaReport,
  type ReplicasRequest,
  type ReportAck,
  type ReportBatch,
} from "../wire/index.ts";
import type { Caller, Callers } from "./callers.ts";
import { asRefusal, type Refusal } from "./errors.ts";
import type { Issuance } from "./issuance.ts";

/** A stream of an authenticated caller. */
export interface CallerStream<Request, Response> {
  readonly caller: Caller;
  send(response: Response): void;
  /** Ends the call with a status. */
  refuse(refusal: Refusal): void;
  /** Set by whoever serves the stream. Throwing ends the call. */
  onRequest: (request: Request) => void;
  /** The call is over, however it ended; exactly once. */
  onEnd: () => void;
}

export interface GrpcHandlers {
  readonly callers: Callers;
  readonly issuance: Issuance;
  readonly logger: Logger;
  discovery(stream: CallerStream<DeltaDiscoveryRequest, DeltaDiscoveryResponse>): void;
  reports(stream: CallerStream<ReportBatch, ReportAck>): void;
  replicas(stream: CallerStream<ReplicasRequest, ReplicaReport>): void;
}

const KEEPALIVE_EVERY = 30_000;
const KEEPALIVE_PATIENCE = 20_000;
/** A connection without a call is closed: it may be anybody's. */
const LONGEST_IDLE = 5 * 60_000;
const MESSAGE_BYTES = 4 * 1024 * 1024;
/** A proxy has two streams and now and then a request. */
const STREAMS_PER_CONNECTION = 100;

/** A server without a port: connections are injected. */
export function grpcServer(handlers: GrpcHandlers): grpc.Server {
  const server = new grpc.Server({
    "grpc.max_receive_message_length": MESSAGE_BYTES,
    "grpc.max_concurrent_streams": STREAMS_PER_CONNECTION,
    "grpc.keepalive_time_ms": KEEPALIVE_EVERY,
    "grpc.keepalive_timeout_ms": KEEPALIVE_PATIENCE,
    "grpc.max_connection_idle_ms": LONGEST_IDLE,
  });
  server.addService(
    { createCertificate: definition(METHODS.createCertificate) },
    {
      createCertificate: (
        call: grpc.ServerUnaryCall<Parameters<Issuance["issue"]>[1], ReturnType<Issuance["issue"]>>,
        done: grpc.sendUnaryData<ReturnType<Issuance["issue"]>>,
      ) => {
        authenticated(call, handlers)
          .then((caller) => done(null, handlers.issuance.issue(caller, call.request)))
          .catch((error: unknown) => done(refused("certificate", call.getPeer(), error, handlers.logger)));
      },
    },
  );
  server.addService(
    { deltaAggregatedResources: definition(METHODS.deltaAggregatedResources) },
    { deltaAggregatedResources: streaming("discovery", handlers, handlers.discovery) },
  );
  server.addService(
    { push: definition(METHODS.pushReports) },
    { push: streaming("reports", handlers, handlers.reports) },
  );
  server.addService(
    { follow: definition(METHODS.followReplica) },
    { follow: streaming("replicas", handlers, handlers.replicas) },
  );
  return server;
}

function streaming<Request, Response>(
  what: string,
  handlers: GrpcHandlers,
  serve: (stream: CallerStream<Request, Response>) => void,
): (call: grpc.ServerDuplexStream<Request, Response>) => void {
  return (call) => {
    let over = false;
    let stream: CallerStream<Request, Response> | undefined;
    const end = () => {
      if (over) return;
      over = true;
      stream?.onEnd();
    };
    const refuse = (refusal: Refusal) => {
      if (over) return;
      end();
      call.emit("error", refusal);
    };
    call.on("cancelled", end);
    call.on("error", end);
    call.on("close", end);
    authenticated(call, handlers)
      .then((caller) => {
        if (over) return;
        stream = {
          caller,
          send: (response) => {
            if (!over) call.write(response);
          },
          refuse,
          onRequest: () => undefined,
          onEnd: () => undefined,
        };
        serve(stream);
        call.on("data", (request: Request) => {
          try {
            if (!over) stream?.onRequest(request);
          } catch (error) {
            refuse(refused(what, call.getPeer(), error, handlers.logger));
          }
        });
        call.on("end", () => {
          end();
          call.end();
        });
      })
      .catch((error: unknown) => refuse(refused(what, call.getPeer(), error, handlers.logger)));
  };
}

function authenticated(call: { readonly metadata: grpc.Metadata }, handlers: GrpcHandlers): Promise<Caller> {
  return handlers.callers.authenticate(call.metadata.get("authorization").map(String));
}

/** One audit line for each call that is refused. */
function refused(what: string, peer: string, error: unknown, logger: Logger): Refusal {
  const refusal = asRefusal(error);
  logger.log(refusal.reason === "defect" ? "error" : "warn", "call refused", {
    what,
    peer,
    reason: refusal.reason,
    detail: refusal.message,
    cause: causeText(refusal),
  });
  return refusal;
}

/** Longer than any message of ours: what a stranger had a part in must not fill the log. */
const LONGEST_CAUSE = 1_024;

function causeText({ cause, reason }: Refusal): string | undefined {
  if (cause === undefined) return undefined;
  if (!(cause instanceof Error)) return String(cause).slice(0, LONGEST_CAUSE);
  return reason === "defect" ? (cause.stack ?? cause.message) : cause.message.slice(0, LONGEST_CAUSE);
}

/** A method as grpc-js takes it, for both ends. */
export function definition<Request, Response>(
  method: Method<Request, Response>,
): grpc.MethodDefinition<Request, Response> {
  return {
    path: method.path,
    requestStream: method.requestStream,
    responseStream: method.responseStream,
    requestSerialize: (request) => Buffer.from(method.encodeRequest(request)),
    requestDeserialize: method.decodeRequest,
    responseSerialize: (response) => Buffer.from(method.encodeResponse(response)),
    responseDeserialize: method.decodeResponse,
  };
}
