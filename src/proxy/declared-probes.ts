/** The variable by which the injector hands over the application's probes, parsed once. */
import { type AppProbes, ENV } from "../mesh/index.ts";
import { ProxyError } from "./errors.ts";

/** Reads the variable that the injector wrote. Throws ProxyError `bad-variable`. */
export function readAppProbes(text: string | undefined): AppProbes {
  if (text === undefined || text === "") return {};
  const bad = (what: string, cause?: unknown) =>
    new ProxyError("bad-variable", `the environment variable ${ENV.probes} is not what the injector writes: ${what}`, {
      hint: "Inject the pod again; the variable is not meant to be written by hand.",
      exitCode: 2,
      cause,
    });
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw bad("no JSON", cause);
  }
  if (!isObject(value)) throw bad("no object");
  for (const [path, probe] of Object.entries(value)) {
    if (!isObject(probe)) throw bad(`${path} is no object`);
    const handlers = ["httpGet", "tcpSocket", "grpc"].filter((name) => isObject(probe[name]));
    const { port, timeoutSeconds } = probe;
    if (handlers.length !== 1) throw bad(`${path} has not one handler`);
    if (!Number.isInteger(port) || Number(port) < 1 || Number(port) > 65535) throw bad(`${path} has no port`);
    if (timeoutSeconds !== undefined && !(Number(timeoutSeconds) > 0)) throw bad(`${path} has no timeout above 0`);
  }
  return value as unknown as AppProbes;
}

function isObject(value: unknown): value is { readonly [key: string]: unknown } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
