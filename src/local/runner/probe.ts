/** Probes of containers, made from the node as kubelet makes them. */
import { connect } from "node:net";
import { formatAuthority, type Ip } from "../../mesh/index.ts";
import type { ContainerSpec, Probe } from "../kinds.ts";

export interface ProbeResult {
  readonly ok: boolean;
  /** What was seen, for the message of a failure. */
  readonly seen: string;
}

/** Runs a command in the probed container. */
export type ProbeExec = (
  command: readonly string[],
  timeout: number,
) => Promise<{ readonly code: number; readonly output: string; readonly timedOut: boolean }>;

/** Makes one attempt of a probe; never throws. */
export async function probeOnce(
  probe: Probe,
  container: ContainerSpec,
  ip: Ip | undefined,
  exec: ProbeExec,
): Promise<ProbeResult> {
  const timeout = (probe.timeoutSeconds ?? 1) * 1000;
  if (probe.exec !== undefined) {
    const result = await exec(probe.exec.command, timeout);
    if (result.timedOut) return { ok: false, seen: `command timed out after ${timeout / 1000} s` };
    return { ok: result.code === 0, seen: result.output === "" ? `exit code ${result.code}` : result.output };
  }
  if (ip === undefined) return { ok: false, seen: "the pod has no address" };
  if (probe.tcpSocket !== undefined) return probeTcp(ip, portNumber(probe.tcpSocket.port, container), timeout);
  if (probe.httpGet !== undefined)
    return probeHttp(probe.httpGet, ip, portNumber(probe.httpGet.port, container), timeout);
  return { ok: true, seen: "" };
}

/** The number of a probe's port: names are those of the container's own ports (the manifest was checked). */
function portNumber(port: number | string, container: ContainerSpec): number {
  if (typeof port === "number") return port;
  return container.ports?.find((one) => one.name === port)?.containerPort ?? 0;
}

/** Success is an answer of 200–399; redirects are not followed. */
async function probeHttp(
  get: NonNullable<Probe["httpGet"]>,
  ip: Ip,
  port: number,
  timeout: number,
): Promise<ProbeResult> {
  const scheme = get.scheme === "HTTPS" ? "https" : "http";
  const path = get.path ?? "/";
  const url = `${scheme}://${formatAuthority(ip, port)}${path.startsWith("/") ? "" : "/"}${path}`;
  const headers = new Headers({ "user-agent": "kube-probe/tulle", connection: "close" });
  for (const { name, value } of get.httpHeaders ?? []) headers.set(name, value);
  try {
    const answer = await fetch(url, {
      headers,
      redirect: "manual",
      keepalive: false,
      signal: AbortSignal.timeout(timeout),
      tls: { rejectUnauthorized: false },
    });
    await answer.body?.cancel();
    return { ok: answer.status >= 200 && answer.status < 400, seen: `HTTP probe failed with status ${answer.status}` };
  } catch (error) {
    return { ok: false, seen: `GET ${url}: ${error instanceof Error ? error.message : String(error)}` };
  }
}

function probeTcp(ip: Ip, port: number, timeout: number): Promise<ProbeResult> {
  return new Promise((resolve) => {
    const socket = connect({ host: ip, port, timeout });
    const end = (ok: boolean, seen: string) => {
      socket.destroy();
      resolve({ ok, seen });
    };
    socket.once("connect", () => end(true, ""));
    socket.once("timeout", () => end(false, `connect to ${formatAuthority(ip, port)} timed out`));
    socket.once("error", (error) => end(false, error.message));
  });
}
