/**
 * Proof that the rules act: a connection to an address that nobody has must arrive at the outbound port, and the kernel
 * must still know where it was going.
 */
import { connect } from "node:net";
import { cidrContains, formatAuthority, type Ip, type Millis, PORTS, parseIp } from "../mesh/index.ts";
import type { AppliedFamily } from "./apply.ts";
import type { CaptureConfig } from "./config.ts";
import { CaptureError } from "./errors.ts";
import { FAMILY_NAME, type Family } from "./family.ts";
import { originalDestination, socketDescriptor } from "./socket-options.ts";

/** How long a captured connection may take to arrive; it never leaves the machine. */
const SELF_TEST_TIMEOUT: Millis = 5_000;

/** Addresses that are never routed: RFC 5737 §3, RFC 3849 §2, RFC 9637 §3. */
const UNROUTABLE: Readonly<Record<Family, readonly string[]>> = {
  ipv4: ["192.0.2.2", "198.51.100.2", "203.0.113.2"],
  ipv6: ["2001:db8::1", "3fff::1"],
};

const ANY: Readonly<Record<Family, string>> = { ipv4: "0.0.0.0", ipv6: "::" };
const LOOPBACK: Readonly<Record<Family, string>> = { ipv4: "127.0.0.1", ipv6: "::1" };

export interface SelfTestTarget {
  readonly ip: Ip;
  readonly port: number;
}

/** A destination that the configuration captures, or undefined when it captures none of the unroutable ones. */
export function selfTestTarget(config: CaptureConfig, family: Family): SelfTestTarget | undefined {
  const ip = UNROUTABLE[family]
    .map(parseIp)
    .find(
      (candidate) => candidate !== undefined && !config.skipOutboundCidrs.some((cidr) => cidrContains(cidr, candidate)),
    );
  let port = 1;
  // The ranges are sorted and apart from each other, so each can push the port up once.
  for (const range of config.skipOutboundPorts) if (range.first <= port) port = Math.max(port, range.last + 1);
  return ip === undefined || port > 65535 ? undefined : { ip, port };
}

/** What a family's self-test found: the destination that was captured, or why none was dialed. */
export type Proof =
  | { readonly kind: "captured"; readonly target: SelfTestTarget }
  | { readonly kind: "untested"; readonly why: string };

/** Tests a family whose rules were just written, where it can be tested. Throws CaptureError when they do not act. */
export async function proveCapture(config: CaptureConfig, { family, inUse }: AppliedFamily): Promise<Proof> {
  if (!inUse) return { kind: "untested", why: "the pod has no address yet" };
  const target = selfTestTarget(config, family);
  if (target === undefined) return { kind: "untested", why: "every destination for a test is skipped" };
  if (process.geteuid?.() === config.proxyUid) {
    throw new CaptureError(
      "self-test-failed",
      `the rules are in place but could not be tested: user ${config.proxyUid} is the proxy's, whose connections are not captured`,
      { hint: "Run init as root." },
    );
  }
  await selfTest(family, target, crypto.randomUUID(), AbortSignal.timeout(SELF_TEST_TIMEOUT));
  return { kind: "captured", target };
}

/**
 * Dials the target and waits until the connection arrives with the token on 15001. Throws CaptureError with what was
 * seen instead. The process must not run as the proxy's user, and the proxy must not be listening yet. The signal ends
 * the wait.
 */
export async function selfTest(
  family: Family,
  target: SelfTestTarget,
  token: string,
  signal: AbortSignal,
): Promise<void> {
  await requireRoute(family, target);
  const verdict = Promise.withResolvers<void>();
  const listener = listen(family, target, token, verdict);
  const dialed = connect({ host: target.ip, port: target.port });
  dialed.once("connect", () => dialed.write(token));
  dialed.once("error", (error: Error) => verdict.reject(notCaptured(family, target, "it could not be made", error)));
  dialed.once("close", () => verdict.reject(notCaptured(family, target, "it was closed by someone else")));
  const expire = () => verdict.reject(notCaptured(family, target, "it did not arrive in time"));
  signal.addEventListener("abort", expire, { once: true });
  if (signal.aborted) expire();
  try {
    await verdict.promise;
  } finally {
    signal.removeEventListener("abort", expire);
    dialed.destroy();
    listener[Symbol.dispose]();
  }
}

function listen(
  family: Family,
  target: SelfTestTarget,
  token: string,
  verdict: PromiseWithResolvers<void>,
): Disposable {
  try {
    const listener = Bun.listen<{ received: string }>({
      hostname: LOOPBACK[family],
      port: PORTS.outbound,
      socket: {
        open(socket) {
          socket.data = { received: "" };
        },
        data(socket, chunk) {
          socket.data.received += chunk.toString("latin1");
          if (socket.data.received.length < token.length) return;
          // Any other connection is the application's, whose proxy is not there yet.
          if (socket.data.received === token)
            judge(family, target, originalDestination(socketDescriptor(socket)), verdict);
          socket.terminate();
        },
      },
    });
    return { [Symbol.dispose]: () => listener.stop(true) };
  } catch (cause) {
    throw new CaptureError(
      "port-taken",
      `the rules are in place but could not be tested: cannot listen on ${LOOPBACK[family]} port ${PORTS.outbound} (${codeOf(cause)})`,
      { hint: "Run init before the proxy starts, or stop what listens on that port.", cause },
    );
  }
}

function judge(
  family: Family,
  target: SelfTestTarget,
  seen: SelfTestTarget | undefined,
  verdict: PromiseWithResolvers<void>,
): void {
  if (seen?.ip === target.ip && seen.port === target.port) verdict.resolve();
  else {
    const told = seen === undefined ? "no original destination" : formatAuthority(seen.ip, seen.port);
    verdict.reject(notCaptured(family, target, `it arrived, but the kernel tells ${told}`));
  }
}

/**
 * Throws when the kernel has no route to the target: the packet would never meet the rules. Asked by connecting a UDP
 * socket, which sends nothing, because Bun calls every failed TCP connect ECONNREFUSED.
 */
async function requireRoute(family: Family, target: SelfTestTarget): Promise<void> {
  try {
    const socket = await Bun.udpSocket({ hostname: ANY[family], connect: { hostname: target.ip, port: target.port } });
    socket.close();
  } catch (cause) {
    throw new CaptureError(
      "no-route",
      `the ${FAMILY_NAME[family]} rules are in place but could not be tested: the pod has no route to ${target.ip} (${codeOf(cause)})`,
      {
        hint: `Give the pod a default ${FAMILY_NAME[family]} route, as a cluster's network does, and run init again.`,
        cause,
      },
    );
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : String(error);
}

function notCaptured(family: Family, target: SelfTestTarget, what: string, cause?: Error): CaptureError {
  return new CaptureError(
    "self-test-failed",
    `the ${FAMILY_NAME[family]} rules are in place but do not act: a connection to ${formatAuthority(target.ip, target.port)} was not captured, ${what}`,
    {
      hint: "Look for a rule ahead of the jump to TULLE_OUTPUT (iptables-save -t nat), and for a packet filter that drops TCP to loopback.",
      cause,
    },
  );
}
