/** An HTTP probe as the kubelet makes it (pkg/probe/http), from inside the pod. */
import { formatAuthority, type HttpGetAction, type Ip } from "../mesh/index.ts";
import { errorText } from "./dial.ts";

/** Go's client gives up after as many. */
const MOST_REDIRECTS = 10;
/** The rest of an answer is not read, bytes. */
const MOST_BODY = 10 * 1024;
const FOLLOWED = new Set([301, 302, 303, 307, 308]);

export interface HttpProbe {
  readonly get: HttpGetAction;
  readonly ip: Ip;
  readonly port: number;
  /** `kube-probe/…` or `kube-lifecycle/…`: applications and their logs know these. */
  readonly userAgent: string;
  readonly signal: AbortSignal;
}

/**
 * The status of the last answer. HTTPS is not verified, and redirects are followed as long as they stay on the pod's own
 * address, as the kubelet does; one that leaves it is the answer. Throws Error with what went wrong.
 */
export async function probeHttp({ get, ip, port, userAgent, signal }: HttpProbe): Promise<number> {
  const scheme = get.scheme?.toLowerCase() === "https" ? "https" : "http";
  let url = new URL(`${scheme}://${formatAuthority(ip, port)}/`);
  // The path never chooses the host, whatever it holds.
  const path = new URL(`${get.path?.startsWith("/") === true ? "" : "/"}${get.path ?? ""}`, url);
  url.pathname = path.pathname;
  url.search = path.search;
  const own = url.hostname;
  const headers = new Headers({ "user-agent": userAgent, accept: "*/*" });
  const given = new Headers();
  for (const { name, value } of get.httpHeaders ?? []) given.append(name, value);
  for (const [name, value] of given) headers.set(name, value);
  headers.set("connection", "close");
  for (let followed = 0; ; followed++) {
    const answer = await fetch(url, {
      headers,
      redirect: "manual",
      keepalive: false,
      signal,
      // The signal is the deadline, and a preStop may be silent for long.
      timeout: false,
      decompress: false,
      tls: { rejectUnauthorized: false },
    });
    await readSome(answer);
    const location = FOLLOWED.has(answer.status) ? answer.headers.get("location") : null;
    if (location === null) return answer.status;
    const next = new URL(location, url);
    if (next.hostname !== own) return answer.status;
    if (!/^https?:$/.test(next.protocol)) throw new Error(`redirected to ${next.protocol}`);
    if (followed >= MOST_REDIRECTS) throw new Error(`stopped after ${MOST_REDIRECTS} redirects`);
    url = next;
    // A host header is for the address that it was written for.
    if (/^https?:/i.test(location)) headers.delete("host");
  }
}

/** An answer that breaks off is a failure. */
async function readSome(answer: Response): Promise<void> {
  if (answer.body === null) return;
  let read = 0;
  for await (const chunk of answer.body as AsyncIterable<Uint8Array>) {
    read += chunk.length;
    if (read >= MOST_BODY) break;
  }
}

/** One short line for the body of a 503. */
export function probeError(error: unknown): string {
  return errorText(error).split("\n", 1)[0]?.slice(0, 200) ?? "failed";
}
