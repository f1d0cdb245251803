/**
 * The proxy's counters and gauges, and their Prometheus text form (format 0.0.4). Labels are words of our own closed
 * lists: never text that a peer controls (CVE-2025-43915).
 */
import { type Millis, REASONS, type Reason } from "../mesh/index.ts";

/** `outbound`: connections of the pod's application; `inbound`: connections to it. */
export const DIRECTIONS = ["outbound", "inbound"] as const;
export type Direction = (typeof DIRECTIONS)[number];

/** Bytes as the accepting side sees them: `sent` towards the destination, `received` from it. */
export interface ByteCount {
  sent: number;
  received: number;
}

/** What is read at the moment of a scrape. */
export interface MetricSources {
  /** When the current certificate ends; undefined without one. */
  certificateExpiry(): Millis | undefined;
  bundleSequence(): number | undefined;
  discoveryConnected(): boolean;
  discoveryEntries(): number;
  ready(): boolean;
  outboundTunnels(): number;
  inboundTunnels(): number;
}

class DirectionMetrics implements ByteCount {
  sent = 0;
  received = 0;
  opened = 0;
  closed = 0;
  /** TLS handshakes of tunnels that ended in a verified peer, and that did not. */
  handshakes = 0;
  handshakesFailed = 0;
  readonly reasons = new Map<Reason, number>();
}

const UNIT = 64 * 1024;

export class Metrics {
  readonly outbound = new DirectionMetrics();
  readonly inbound = new DirectionMetrics();
  /** Certificate requests by outcome. */
  issued = 0;
  issueFailures = 0;

  /** How much was done so far: connections, and units of 64 KiB that passed. */
  work(): number {
    let work = 0;
    for (const direction of DIRECTIONS) {
      const { opened, sent, received } = this[direction];
      work += opened + (sent + received) / UNIT;
    }
    return work;
  }

  /** Every connection ends with exactly one reason. */
  count(direction: Direction, reason: Reason): void {
    const reasons = this[direction].reasons;
    reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
  }

  of(direction: Direction, reason: Reason): number {
    return this[direction].reasons.get(reason) ?? 0;
  }
}

interface Family {
  readonly name: string;
  readonly type: "counter" | "gauge";
  readonly help: string;
  readonly samples: (metrics: Metrics, sources: MetricSources, info: BuildInfo) => Iterable<Sample>;
}

type Sample = readonly [labels: string, value: number];

export interface BuildInfo {
  readonly version: string;
}

/** The one table of the proxy's metrics; `docs/reference` is made from it. */
export const METRICS: readonly Family[] = [
  {
    name: "tulle_connections_total",
    type: "counter",
    help: "Connections by direction and by the word that says how they were treated.",
    samples: function* (metrics) {
      for (const direction of DIRECTIONS) {
        for (const reason of Object.keys(REASONS) as Reason[]) {
          const count = metrics.of(direction, reason);
          if (count > 0) yield [`direction="${direction}",reason="${reason}"`, count];
        }
      }
    },
  },
  perDirection("tulle_connections_opened_total", "counter", "Connections accepted.", (side) => side.opened),
  perDirection("tulle_connections_closed_total", "counter", "Connections ended.", (side) => side.closed),
  perDirection("tulle_connections_active", "gauge", "Connections open now.", (side) => side.opened - side.closed),
  perDirection("tulle_sent_bytes_total", "counter", "Bytes towards the destination.", (side) => side.sent),
  perDirection("tulle_received_bytes_total", "counter", "Bytes from the destination.", (side) => side.received),
  perDirection("tulle_handshakes_total", "counter", "TLS handshakes with a verified peer.", (side) => side.handshakes),
  perDirection(
    "tulle_handshakes_failed_total",
    "counter",
    "TLS handshakes that ended without a verified peer.",
    (side) => side.handshakesFailed,
  ),
  {
    name: "tulle_tunnels",
    type: "gauge",
    help: "Tunnels open now.",
    samples: (_metrics, sources) => [
      ['direction="outbound"', sources.outboundTunnels()],
      ['direction="inbound"', sources.inboundTunnels()],
    ],
  },
  {
    name: "tulle_certificate_requests_total",
    type: "counter",
    help: "Certificate requests to the operator by outcome.",
    samples: (metrics) => [
      ['outcome="issued"', metrics.issued],
      ['outcome="failed"', metrics.issueFailures],
    ],
  },
  {
    name: "tulle_certificate_expiry_seconds",
    type: "gauge",
    help: "Unix time at which this proxy's certificate ends.",
    samples: (_metrics, sources) => optional(sources.certificateExpiry(), (millis) => millis / 1000),
  },
  {
    name: "tulle_trust_bundle_sequence",
    type: "gauge",
    help: "Sequence of the trust bundle that new handshakes use.",
    samples: (_metrics, sources) => optional(sources.bundleSequence(), (sequence) => sequence),
  },
  {
    name: "tulle_discovery_connected",
    type: "gauge",
    help: "1 while the discovery stream is up.",
    samples: (_metrics, sources) => [["", sources.discoveryConnected() ? 1 : 0]],
  },
  {
    name: "tulle_discovery_addresses",
    type: "gauge",
    help: "Addresses that this proxy follows.",
    samples: (_metrics, sources) => [["", sources.discoveryEntries()]],
  },
  {
    name: "tulle_ready",
    type: "gauge",
    help: "1 once the proxy takes traffic.",
    samples: (_metrics, sources) => [["", sources.ready() ? 1 : 0]],
  },
  {
    name: "tulle_build_info",
    type: "gauge",
    help: "Always 1; the label says what runs.",
    samples: (_metrics, _sources, info) => [[`version="${escapeLabel(info.version)}"`, 1]],
  },
];

/** The body of `/metrics`. */
export function renderMetrics(metrics: Metrics, sources: MetricSources, info: BuildInfo): string {
  let text = "";
  for (const family of METRICS) {
    text += `# HELP ${family.name} ${family.help}\n# TYPE ${family.name} ${family.type}\n`;
    for (const [labels, value] of family.samples(metrics, sources, info)) {
      text += labels === "" ? `${family.name} ${value}\n` : `${family.name}{${labels}} ${value}\n`;
    }
  }
  return text;
}

function perDirection(
  name: string,
  type: Family["type"],
  help: string,
  read: (side: DirectionMetrics) => number,
): Family {
  return {
    name,
    type,
    help,
    samples: (metrics) =>
      DIRECTIONS.map((direction) => [`direction="${direction}"`, read(metrics[direction])] as const),
  };
}

function optional<T>(value: T | undefined, read: (value: T) => number): Sample[] {
  return value === undefined ? [] : [["", read(value)]];
}

function escapeLabel(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}
