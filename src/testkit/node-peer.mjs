// An outside peer: node:http2 under Node, with a certificate of the mesh. It says what happens as JSON lines on stdout.
// node node-peer.mjs client|server '{"ip", "port", "cert", "key", "ca", ...}'
import http2 from "node:http2";
import tls from "node:tls";

const [role, json] = process.argv.slice(2);
const options = JSON.parse(json);
const say = (event) => process.stdout.write(`${JSON.stringify(event)}\n`);

const secure = {
  cert: options.cert,
  key: options.key,
  ca: options.ca,
  minVersion: "TLSv1.3",
  ALPNProtocols: ["h2"],
};

if (role === "client") client();
else server();

/** Opens CONNECT streams through a proxy's tunnel port. */
async function client() {
  const connect = (session) =>
    new Promise((resolve, reject) => {
      // A SPIFFE-only certificate has no host name: the chain is judged, the name is not.
      const socket = tls.connect({ ...secure, host: options.ip, port: options.port, session, checkServerIdentity: () => undefined });
      const tickets = [];
      socket.on("session", (ticket) => tickets.push(ticket));
      socket.on("error", reject);
      socket.on("secureConnect", () => resolve({ socket, tickets }));
    });
  const { socket, tickets } = await connect();
  say({ event: "secure", protocol: socket.getProtocol(), alpn: socket.alpnProtocol, authorized: socket.authorized, names: socket.getPeerCertificate().subjectaltname });
  const session = http2.connect(`https://${options.ip}:${options.port}`, { createConnection: () => socket });
  session.on("error", (error) => say({ event: "session error", code: error.code }));
  for (const { authority, body, endFirst } of options.requests) {
    await new Promise((resolve) => {
      const stream = session.request({ ":method": "CONNECT", ":authority": authority }, { endStream: false });
      const chunks = [];
      let headers = {};
      const order = [];
      stream.on("response", (head) => {
        headers = head;
        if (!endFirst) stream.write(Buffer.alloc(body, 0x61));
        // The other direction ends first: our end follows its end.
        if (head[":status"] === 200 && options.waitForEnd) stream.on("end", () => stream.end());
        else if (!endFirst) stream.end();
      });
      if (endFirst) stream.end(Buffer.alloc(body, 0x61));
      stream.on("data", (chunk) => chunks.push(chunk));
      stream.on("end", () => order.push("end"));
      stream.on("error", (error) => order.push(error.code));
      stream.on("close", () => {
        const bytes = Buffer.concat(chunks);
        say({ event: "stream", status: headers[":status"], reason: headers["tulle-reason"], bytes: bytes.length, text: bytes.toString("latin1", 0, 32), order, code: stream.rstCode });
        resolve();
      });
    });
  }
  session.close();
  await new Promise((resolve) => session.once("close", resolve));
  // A ticket of the first handshake must not let a client in without a new one.
  const again = await connect(tickets[0]);
  say({ event: "again", tickets: tickets.length, reused: again.socket.isSessionReused() });
  again.socket.destroy();
}

/** Takes tunnels as another proxy would: echoes what comes on CONNECT streams. */
function server() {
  const listener = http2.createSecureServer({ ...secure, allowHTTP1: false, requestCert: true, rejectUnauthorized: true });
  listener.on("sessionError", (error) => say({ event: "session error", code: error.code }));
  listener.on("tlsClientError", (error) => say({ event: "tls error", code: error.code }));
  listener.on("stream", (stream, headers) => {
    const peer = stream.session.socket.getPeerCertificate();
    say({ event: "stream", method: headers[":method"], authority: headers[":authority"], names: peer.subjectaltname, scheme: headers[":scheme"], reused: stream.session.socket.isSessionReused() });
    stream.on("error", (error) => say({ event: "stream error", code: error.code }));
    if (headers[":authority"].endsWith(":401")) {
      stream.respond({ ":status": 401, "tulle-reason": "refused-policy" }, { endStream: true });
      return;
    }
    stream.respond({ ":status": 200 });
    if (headers[":authority"].endsWith(":25")) {
      stream.end("220 ready\r\n");
      let bytes = 0;
      stream.on("data", (chunk) => (bytes += chunk.length));
      stream.on("end", () => say({ event: "ended", bytes }));
    } else if (headers[":authority"].endsWith(":99")) {
      // The next stream needs another tunnel.
      stream.end();
      stream.session.close();
    } else if (headers[":authority"].endsWith(":66")) stream.destroy(new Error("reset"));
    else stream.pipe(stream);
  });
  listener.listen(options.port, options.ip, () => say({ event: "listening", port: listener.address().port }));
  process.stdin.on("end", () => process.exit(0)).resume();
}
