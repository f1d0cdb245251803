/** The operator's gRPC services on grpc-js: who calls is settled before a handler sees a message. */
import * as grpc from "@grpc/grpc-js";
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
import type { Authentication } from "./authentication.ts";
import type { Caller } from "./callers.ts";
import type { Refusal } from "./errors.ts";
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
  readonly authentication: Authentication;
  readonly issuance: Issuance;
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
  const { authentication } = handlers;
  const server = new grpc.Server({
    interceptors: [authentication.interceptor],
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
        try {
          done(null, handlers.issuance.issue(authentication.callerOf(call.metadata), call.request));
        } catch (error) {
          done(authentication.refused("certificate", call.getPeer(), error));
        }
      },
    },
  );
  server.addService(
    { deltaAggregatedResources: definition(METHODS.deltaAggregatedResources) },
    { deltaAggregatedResources: streaming("discovery", authentication, handlers.discovery) },
  );
  server.addService(
    { push: definition(METHODS.pushReports) },
    { push: streaming("reports", authentication, handlers.reports) },
  );
  server.addService(
    { follow: definition(METHODS.followReplica) },
    { follow: streaming("replicas", authentication, handlers.replicas) },
  );
  return server;
}

function streaming<Request, Response>(
  what: string,
  authentication: Authentication,
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
    try {
      stream = {
        caller: authentication.callerOf(call.metadata),
        send: (response) => {
          if (!over) call.write(response);
        },
        refuse,
        onRequest: () => undefined,
        onEnd: () => undefined,
      };
      serve(stream);
    } catch (error) {
      return refuse(authentication.refused(what, call.getPeer(), error));
    }
    call.on("data", (request: Request) => {
      try {
        if (!over) stream?.onRequest(request);
      } catch (error) {
        refuse(authentication.refused(what, call.getPeer(), error));
      }
    });
    call.on("end", () => {
      end();
      call.end();
    });
  };
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
