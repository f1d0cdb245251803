/** gRPC as the operator serves it: grpc-js with TLS and a certificate of the mesh's CA. */
import * as grpc from "@grpc/grpc-js";
import { type Authority, KeyPair, parseSpiffeId, pemEncode } from "../identity/index.ts";
import { OPERATOR_HOST } from "../mesh/index.ts";

/** The operator's certificate and key in PEM. */
export function operatorCertificate(
  authority: Authority,
  dnsName: string = OPERATOR_HOST,
): { readonly cert: string; readonly key: string } {
  const key = KeyPair.generate();
  const id = parseSpiffeId(`spiffe://${authority.trustDomain}/ns/tulle-system/sa/tulle-operator`);
  const { chain } = authority.issueServer({ spki: key.spki, id, dnsNames: [dnsName], ips: [] });
  return { cert: chain.map((der) => pemEncode("CERTIFICATE", der)).join(""), key: key.privateKeyPem() };
}

/** Binds on loopback; resolves to the port. */
export function bindGrpc(server: grpc.Server, authority: Authority, port = 0): Promise<number> {
  const { cert, key } = operatorCertificate(authority);
  const credentials = grpc.ServerCredentials.createSsl(null, [
    { cert_chain: Buffer.from(cert), private_key: Buffer.from(key) },
  ]);
  return new Promise((resolve, reject) => {
    server.bindAsync(`127.0.0.1:${port}`, credentials, (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
}
