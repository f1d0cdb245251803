/** Probes and lifecycle handlers of containers, made from the node as kubelet makes them. */
import { connect } from "node:net";
import { Client, credentials } from "@grpc/grpc-js";
import { formatAuthority, type Ip, type Millis } from "../../mesh/index.ts";
import type { ContainerSpec, HttpGet, LifecycleHandler, Probe } from "../kinds.ts";

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

/** Characters of a refusal's body that are shown. */
const LONGEST_SAYING = 200;

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
  if (probe.grpc !== undefined) return probeGrpc(ip, probe.grpc.port, probe.grpc.service ?? "", timeout);
  return { ok: true, seen: "" };
}

/** Makes a lifecycle handler; never throws. Any answer to a GET counts as success. */
export async function hookOnce(
  hook: LifecycleHandler,
  container: ContainerSpec,
  ip: Ip | undefined,
  exec: ProbeExec,
  timeout: Millis,
): Promise<ProbeResult> {
  if (hook.exec !== undefined) {
    const { code, output } = await exec(hook.exec.command, timeout);
    return { ok: code === 0, seen: `exit code ${code}: ${output}` };
  }
  if (hook.httpGet === undefined) return { ok: true, seen: "" };
  if (ip === undefined) return { ok: false, seen: "the pod has no address" };
  const got = await get(hook.httpGet, ip, portNumber(hook.httpGet.port, container), timeout);
  return typeof got === "string" ? { ok: false, seen: got } : { ok: true, seen: "" };
}

/** The number of a probe's port: names are those of the container's own ports (the manifest was checked). */
function portNumber(port: number | string, container: ContainerSpec): number {
  if (typeof port === "number") return port;
  return container.ports?.find((one) => one.name === port)?.containerPort ?? 0;
}

/** Success is an answer of 200–399; redirects are not followed. */
async function probeHttp(action: HttpGet, ip: Ip, port: number, timeout: Millis): Promise<ProbeResult> {
  const got = await get(action, ip, port, timeout);
  if (typeof got === "string") return { ok: false, seen: got };
  const said = got.said === "" ? "" : `: ${got.said}`;
  return { ok: got.status >= 200 && got.status < 400, seen: `HTTP probe failed with status ${got.status}${said}` };
}

/** The answer's status and, of a refusal, its first line; or what went wrong. */
async function get(
  action: HttpGet,
  ip: Ip,
  port: number,
  timeout: Millis,
): Promise<{ readonly status: number; readonly said: string } | string> {
  const scheme = action.scheme === "HTTPS" ? "https" : "http";
  const path = action.path ?? "/";
  const url = `${scheme}://${formatAuthority(ip, port)}${path.startsWith("/") ? "" : "/"}${path}`;
  const headers = new Headers({ "user-agent": "kube-probe/tulle", connection: "close" });
  for (const { name, value } of action.httpHeaders ?? []) headers.set(name, value);
  try {
    const answer = await fetch(url, {
      headers,
      redirect: "manual",
      keepalive: false,
      signal: AbortSignal.timeout(timeout),
      tls: { rejectUnauthorized: false },
    });
    const reader = answer.status < 400 ? undefined : answer.body?.getReader();
    // What a sidecar that probes in the pod's stead has seen is in the body.
    const body = reader === undefined ? "" : new TextDecoder().decode((await reader.read()).value);
    await (reader ?? answer.body)?.cancel();
    return { status: answer.status, said: body.trim().split("\n")[0]?.slice(0, LONGEST_SAYING) ?? "" };
  } catch (error) {
    return `GET ${url}: ${whyFailed(error, timeout)}`;
  }
}

/** fetch's errors in the words of the kernel. */
function whyFailed(error: unknown, timeout: Millis): string {
  if (!(error instanceof Error)) return String(error);
  if (error.name === "TimeoutError") return `no answer within ${timeout / 1000} s`;
  switch ("code" in error ? error.code : undefined) {
    case "ConnectionRefused":
    case "ECONNREFUSED":
      return "connection refused";
    case "ECONNRESET":
      return "connection reset";
    default:
      return error.message.replace(/\.? For more information, pass `verbose: true`.*$/s, "");
  }
}

/** `grpc.health.v1.Health/Check`: success is SERVING (1). The messages have one field each, read and written by hand. */
function probeGrpc(ip: Ip, port: number, service: string, timeout: Millis): Promise<ProbeResult> {
  const name = Buffer.from(service);
  const request = name.length === 0 ? name : Buffer.concat([Buffer.from([0x0a, name.length]), name]);
  const client = new Client(formatAuthority(ip, port), credentials.createInsecure(), { "grpc.enable_http_proxy": 0 });
  const same = (bytes: Buffer) => bytes;
  return new Promise<ProbeResult>((resolve) => {
    client.makeUnaryRequest(
      "/grpc.health.v1.Health/Check",
      same,
      same,
      request,
      { deadline: Date.now() + timeout },
      (error, answer) => {
        if (error !== null) resolve({ ok: false, seen: error.message });
        else resolve({ ok: answer?.[1] === 1, seen: "the gRPC service is not serving" });
      },
    );
  }).finally(() => client.close());
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
