/** Health and metrics of the operator, over plain HTTP: nothing here is secret, and nothing changes anything. */
import type { ProxyReport } from "../operator/index.ts";

export interface StatusSources {
  /** What is still missing before this replica serves; empty when it does. */
  readonly missing: () => readonly string[];
  /** Why nothing is signed; undefined while all is well. */
  readonly unfit: () => string | undefined;
  readonly leading: () => boolean;
  readonly reviews: () => ReadonlyMap<string, number>;
  readonly reports: () => Iterable<ProxyReport>;
  readonly unmeshed: () => number;
  readonly certificatesIssued: () => number;
  readonly version: string;
}

/** Serves until stopped. */
export function serveStatus(port: number, sources: StatusSources): Bun.Server<undefined> {
  return Bun.serve({
    port,
    hostname: "::",
    development: false,
    fetch: (request) => {
      const { pathname } = new URL(request.url);
      if (pathname === "/healthz/live") return new Response("alive\n");
      if (pathname === "/healthz/ready") {
        const missing = sources.missing();
        return missing.length === 0
          ? new Response("ready\n")
          : new Response(`waiting for ${missing.join(", ")}\n`, { status: 503 });
      }
      if (pathname === "/metrics") {
        return new Response(renderStatus(sources), { headers: { "content-type": "text/plain; version=0.0.4" } });
      }
      return new Response("not found\n", { status: 404 });
    },
  });
}

/** Prometheus text (0.0.4); labels are words of our own. */
export function renderStatus(sources: StatusSources): string {
  const lines: string[] = [];
  const family = (name: string, type: string, help: string, samples: readonly (readonly [string, number])[]) => {
    lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`);
    for (const [labels, value] of samples)
      lines.push(labels === "" ? `${name} ${value}` : `${name}{${labels}} ${value}`);
  };
  let connected = 0;
  let known = 0;
  for (const report of sources.reports()) {
    known++;
    if (report.connected) connected++;
  }
  family("tulle_operator_build_info", "gauge", "Always 1; the label says what runs.", [
    [`version="${sources.version}"`, 1],
  ]);
  family("tulle_operator_leading", "gauge", "1 while this replica leads.", [["", sources.leading() ? 1 : 0]]);
  family("tulle_operator_signing", "gauge", "0 while nothing is signed because the CA store is not as it should be.", [
    ["", sources.unfit() === undefined ? 1 : 0],
  ]);
  family(
    "tulle_operator_admission_reviews_total",
    "counter",
    "Admission reviews by what became of them.",
    [...sources.reviews()].map(([outcome, count]) => [`outcome="${outcome}"`, count] as const),
  );
  family("tulle_operator_certificates_issued_total", "counter", "Certificates issued to pods by this replica.", [
    ["", sources.certificatesIssued()],
  ]);
  family("tulle_operator_proxies", "gauge", "Proxies that have reported, to this replica or to another.", [
    ['state="connected"', connected],
    ['state="gone"', known - connected],
  ]);
  family("tulle_operator_pods_unmeshed", "gauge", "Pods that should be meshed and are not; counted by the leader.", [
    ["", sources.unmeshed()],
  ]);
  return `${lines.join("\n")}\n`;
}
