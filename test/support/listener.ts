/**
 * Stands for the proxy and for applications in namespace tests: listens on each address and port given as
 * `127.0.0.1/15001` or `udp/127.0.0.1/5353` and answers every connection with one line of JSON: the port it arrived
 * at, the original destination (null when it was not redirected) and the peer.
 */
import { originalDestination, socketDescriptor } from "../../src/capture/index.ts";
import { formatAuthority } from "../../src/mesh/index.ts";

/** What a listener answers. */
export interface Arrival {
  readonly port: number;
  readonly original: string | null;
  readonly peer: string;
}

if (import.meta.main) {
  for (const spec of process.argv.slice(2)) {
    const [host, port] = spec.replace(/^udp\//, "").split("/");
    if (host === undefined || port === undefined) throw new Error(`not an address and port: ${spec}`);
    if (spec.startsWith("udp/")) await listenUdp(host, Number(port));
    else listenTcp(host, Number(port));
  }
  process.stdout.write("ready\n");
}

function listenTcp(hostname: string, port: number): void {
  Bun.listen({
    hostname,
    port,
    socket: {
      open(socket) {
        const original = originalDestination(socketDescriptor(socket));
        const arrival: Arrival = {
          port,
          original: original === undefined ? null : formatAuthority(original.ip, original.port),
          peer: socket.remoteAddress,
        };
        socket.end(`${JSON.stringify(arrival)}\n`);
      },
      data() {},
    },
  });
}

async function listenUdp(hostname: string, port: number): Promise<void> {
  await Bun.udpSocket({
    hostname,
    port,
    socket: {
      data(socket, _data, peerPort, peer) {
        const arrival: Arrival = { port, original: null, peer };
        socket.send(`${JSON.stringify(arrival)}\n`, peerPort, peer);
      },
    },
  });
}
