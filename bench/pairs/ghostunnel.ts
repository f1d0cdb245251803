/** ghostunnel: one mTLS connection for each connection of the application, in Go. */
import { APP_PORT, SERVER_IP } from "../addresses.ts";
import { type CredentialFiles, spiffeId } from "../credentials.ts";
import type { Pair } from "./pair.ts";
import { peerProgram } from "./programs.ts";

const OUTBOUND = 15201;
const INBOUND = 15206;
const PROGRAM = peerProgram("ghostunnel");
/** One core each, as the other pairs have one thread. */
const VARIABLES = { GOMAXPROCS: "1" };

export const ghostunnel: Pair = {
  name: "ghostunnel",
  about: "ghostunnel, GOMAXPROCS=1",
  program: PROGRAM,
  version: [PROGRAM, "--version"],
  async start(stage, { client, server, roots }) {
    const identity = ({ certificate, key }: CredentialFiles) => [
      ...["--cert", certificate, "--key", key, "--cacert", roots, "--quiet", "all"],
    ];
    const inboundCommand = [
      ...[PROGRAM, "server", "--listen", `${SERVER_IP}:${INBOUND}`, "--target", `${SERVER_IP}:${APP_PORT}`],
      ...["--unsafe-target", "--allow-uri", spiffeId("client"), ...identity(server)],
    ];
    const outboundCommand = [
      ...[PROGRAM, "client", "--listen", `127.0.0.1:${OUTBOUND}`, "--target", `${SERVER_IP}:${INBOUND}`],
      ...["--override-server-name", "server", "--verify-uri", spiffeId("server"), ...identity(client)],
    ];
    const inbound = await stage.start(stage.server, inboundCommand, INBOUND, VARIABLES);
    const outbound = await stage.start(stage.client, outboundCommand, OUTBOUND, VARIABLES);
    await stage.capture(OUTBOUND);
    return { outbound, inbound };
  },
};
