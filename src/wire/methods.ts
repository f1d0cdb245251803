/** The three gRPC methods between proxy and operator, and the type URLs of discovery. */
import { type Codec, codec } from "./codec.ts";
import { DeltaDiscoveryRequest, DeltaDiscoveryResponse } from "./gen/envoy/service/discovery/v3/discovery.ts";
import { IstioCertificateRequest, IstioCertificateResponse } from "./gen/istio/v1/auth/ca.ts";
import { ReplicaReport, ReplicasRequest } from "./gen/tulle/v1/replicas.ts";
import { ReportAck, ReportBatch } from "./gen/tulle/v1/reports.ts";

/** One gRPC method. */
export interface Method<Request, Response> {
  /** `/package.Service/Method`: the `:path` of its requests. */
  readonly path: string;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
  readonly encodeRequest: (request: Request) => Uint8Array;
  readonly decodeRequest: (bytes: Uint8Array) => Request;
  readonly encodeResponse: (response: Response) => Uint8Array;
  readonly decodeResponse: (bytes: Uint8Array) => Response;
}

export const METHODS = {
  /** A certificate for the key of a CSR, as Istio's agents ask for it. */
  createCertificate: unary(
    "/istio.v1.auth.IstioCertificateService/CreateCertificate",
    codec("IstioCertificateRequest", IstioCertificateRequest),
    codec("IstioCertificateResponse", IstioCertificateResponse),
  ),
  /** Delta xDS: all types on one stream. */
  deltaAggregatedResources: streams(
    "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources",
    codec("DeltaDiscoveryRequest", DeltaDiscoveryRequest),
    codec("DeltaDiscoveryResponse", DeltaDiscoveryResponse),
  ),
  /** What a proxy says of itself; each batch is acknowledged. */
  pushReports: streams("/tulle.v1.Reports/Push", codec("ReportBatch", ReportBatch), codec("ReportAck", ReportAck)),
  /** What one replica of the operator tells another. */
  followReplica: streams(
    "/tulle.v1.Replicas/Follow",
    codec("ReplicasRequest", ReplicasRequest),
    codec("ReplicaReport", ReplicaReport),
  ),
} as const;

/** Types of the resources of discovery. */
export const TYPE_URLS = {
  address: "type.googleapis.com/istio.workload.Address",
  authorization: "type.googleapis.com/istio.security.Authorization",
  settings: "type.googleapis.com/tulle.v1.Settings",
  trustBundle: "type.googleapis.com/tulle.v1.TrustBundle",
} as const;

function unary<Request, Response>(path: string, request: Codec<Request>, response: Codec<Response>) {
  return method(path, request, response, false);
}

function streams<Request, Response>(path: string, request: Codec<Request>, response: Codec<Response>) {
  return method(path, request, response, true);
}

function method<Request, Response>(
  path: string,
  request: Codec<Request>,
  response: Codec<Response>,
  stream: boolean,
): Method<Request, Response> {
  return {
    path,
    requestStream: stream,
    responseStream: stream,
    encodeRequest: request.encode,
    decodeRequest: request.decode,
    encodeResponse: response.encode,
    decodeResponse: response.decode,
  };
}
