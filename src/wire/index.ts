/**
 * wire: what is said between proxy and operator, as bytes. Protobuf codecs generated from proto/, the gRPC methods, and
 * the way between wire messages and the mesh's types. It never opens a connection and decides nothing.
 */
export { addressFromWire, addressName, addressToWire } from "./address.ts";
export { WIRE_ERRORS, WireError, type WireErrorCode } from "./errors.ts";
export type {
  DeltaDiscoveryRequest,
  DeltaDiscoveryResponse,
  Resource,
} from "./gen/envoy/service/discovery/v3/discovery.ts";
export type { IstioCertificateRequest, IstioCertificateResponse } from "./gen/istio/v1/auth/ca.ts";
export type { ReplicaReport, ReplicasRequest } from "./gen/tulle/v1/replicas.ts";
export { Direction, type ReportAck, type ReportBatch } from "./gen/tulle/v1/reports.ts";
export { METHODS, type Method, TYPE_URLS } from "./methods.ts";
export { settingsFromWire, settingsToWire, trustBundleFromWire, trustBundleToWire } from "./resources.ts";
