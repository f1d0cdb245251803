/**
 * Opens connections, asks once on each and keeps them idle: hold.ts HOST PORT COUNT. Prints `held N failed M` when all have been
 * answered or failed, then waits to be killed.
 */
const AT_ONCE = 64;
const LIMIT_MS = 60_000;

if (import.meta.main) {
  const [host = "", port = "", count = ""] = process.argv.slice(2);
  const request = `GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`;
  let open = Number(count);
  let held = 0;
  let failed = 0;
  const deadline = performance.now() + LIMIT_MS;
  const work = async (): Promise<void> => {
    while (open-- > 0) {
      const answered = await ask(host, Number(port), request, deadline);
      if (answered) held++;
      else failed++;
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  process.stdout.write(`held ${held} failed ${failed}\n`);
  setInterval(() => undefined, 1 << 30);
}

/** Whether the whole answer came; the connection stays open. */
function ask(hostname: string, port: number, request: string, deadline: number): Promise<boolean> {
  return new Promise((resolve) => {
    const late = setTimeout(() => resolve(false), Math.max(0, deadline - performance.now()));
    const done = (answered: boolean) => {
      clearTimeout(late);
      resolve(answered);
    };
    let answer = "";
    Bun.connect({
      hostname,
      port,
      socket: {
        open: (socket) => void socket.write(request),
        data: (_socket, chunk) => {
          answer += chunk.toString("latin1");
          const head = answer.indexOf("\r\n\r\n");
          const length = Number(/content-length: (\d+)/i.exec(answer)?.[1]);
          if (head > 0 && answer.length >= head + 4 + length) done(answer.startsWith("HTTP/1.1 200"));
        },
        close: () => done(false),
        error: () => done(false),
        connectError: () => done(false),
      },
    }).catch(() => done(false));
  });
}
