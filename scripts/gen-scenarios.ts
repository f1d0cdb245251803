/**
 * Writes docs/scenarios.md: the catalogue of what a data plane has to stand, below, and the tests that show each. Such a test
 * begins its name with the scenario's number, or with several: `"8, 9: …"`. With --check it writes nothing and fails on a
 * difference.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Numbered from 1 on through all groups; the numbers are fixed, for tests name them. */
const CATALOGUE: Readonly<Record<string, readonly string[]>> = {
  Interception: [
    "A connection to a cluster IP is captured",
    "A connection to a pod IP is captured",
    "A connection to a headless Service's name is captured",
    "A connection to an address outside the cluster passes",
    "Plaintext that comes in on any port, declared or not, meets the proxy",
    "Port 15008 is not redirected",
    "The proxy's own traffic is not captured",
    "127.0.0.1 and 127.0.1.1 are direct",
    "The own pod IP is direct",
    "A call to the own Service reaches the pod itself, through its policy",
    "The same with two replicas, and the same policy for both",
    "Ports to skip, in and out: ranges, 16 entries and more",
    "Address ranges to skip",
    "Rules applied twice give the same dump",
    "Rules are applied over a half-applied state",
    "Rules applied with other ports leave no residue",
    "Cleaning up restores the first dump",
    "Rules and chains of others are untouched",
    "A kernel with nft only, and one with legacy only",
    "The xtables lock is held for 5 s",
    "The self-test fails when rules are removed",
    "One client port to two ports of a server (istio#38982)",
    "An application binds a port while there are proxied connections (istio#52260)",
    "A stale half-open connection on 15001 meets a reused client port (istio#43301)",
  ],
  "IPv6, UDP, names": [
    "A pod with IPv6 only",
    "A pod with both families is captured in both",
    "A kernel without IPv6",
    "An IPv6 address without a usable ip6tables fails the start",
    "A v4-mapped original destination",
    "A Service of both families with a backend of one (linkerd2#12733)",
    "UDP is untouched in both directions",
    "Names resolve by UDP and TCP at a resolver on an address of the node",
    "Large UDP datagrams are unaffected",
  ],
  "Mutual TLS and identity": [
    "Nothing of what is sent can be read on the wire",
    "TLS 1.2 is refused",
    "A client without a certificate is refused",
    "Another trust domain is refused",
    "Another service account at the expected IP is refused",
    "A certificate with two URI names is refused",
    "A certificate that expired, or is not valid yet, is refused",
    "A chain with an intermediate",
    "Two roots during a rotation",
    "A leaf is rotated under 1,000 open streams without a reset",
    "While the CA is away the old certificate serves until it expires; then it recovers",
    "Clocks that differ by 60 s",
    "A post-quantum group is negotiated",
    "A handshake that stalls or trickles is cut",
  ],
  HBONE: [
    "GET is answered by 400",
    "A missing or malformed authority, or one without a port, is answered by 400",
    "The authority of another IP is answered by 400",
    "The mesh's own ports are answered by 503",
    "What policy denies is answered by 401",
    "A closed port is answered by 503, and the client sees a reset",
    "The suite h2spec",
    "Headers above 64 KiB",
    "Padding, trailers, interim responses, unknown frames and settings",
    "Both ways with ztunnel itself",
    "A malformed traceparent",
    "Hostile bytes in baggage",
  ],
  "Streams and tunnels": [
    "Half-close in each direction, all data intact",
    "A reset passes in each direction",
    "1,000 dials at once open one tunnel",
    "A stream beyond the peer's limit opens a second tunnel",
    "A tunnel is for one identity and one destination",
    "A slow reader stalls no other stream",
    "10 GiB within bounded memory",
    "A stream that is idle for 2 h lives",
    "A tunnel that is unused for 5 min closes",
    "After the peer's GOAWAY new streams go on a new tunnel",
    "A peer that vanished is found by a ping",
    "A server that speaks first is heard at once",
    "A client that connects and says nothing",
    "TCP keep-alive is set",
  ],
  Policy: [
    "No policy allows",
    "A policy that allows others denies",
    "A denial wins",
    "A dry run only logs",
    "A plaintext caller is refused by rules on identities, plain and negated",
    "A change of policy closes live connections",
    "Strict refuses plaintext, and probes pass",
    "Metrics can be scraped under strict",
    "Exceptions for ports",
    "A rule on source addresses sees the TCP peer, no header",
  ],
  "Failure and abuse": [
    "Rapid reset (CVE-2023-44487)",
    "MadeYouReset (CVE-2025-8671)",
    "Floods of CONTINUATION, SETTINGS, PING, empty DATA; overflow by WINDOW_UPDATE",
    "An HPACK bomb",
    "File descriptors run out, and it recovers",
    "Calls to every own port, at the pod IP, at localhost and at a peer, are refused",
    "A loop through two proxies",
    "A port of the application on loopback only is out of reach",
    "The control plane is gone, and traffic flows",
    "A restart without a control plane does not fall to plaintext",
    "A malformed resource of discovery is refused, and the others apply",
    "An IP that is used again by another identity is refused until it is known",
  ],
  Lifecycle: [
    "The application's first packet works",
    "Init containers that run after the proxy have the network",
    "A Job completes",
    "A rolling update under load without an error",
    "SIGTERM lets long streams end, until a deadline",
    "The application's preStop handler can still call out",
    "The proxy crashes and starts again: the rules stay, the application recovers",
    "A sidecar that never becomes ready still ends",
    "A listener's port that is taken ends the start with an error",
    "It is not ready before its first settings and certificate",
    "Probes: HTTP, TCP, gRPC and exec",
    "A StatefulSet's pods call each other by pod IP",
    "A pod in a user namespace",
    "A namespace with the restricted Pod Security Standard",
  ],
};

const ROOT = join(import.meta.dir, "..");
const PAGE = join(ROOT, "docs/scenarios.md");
const TESTS = ["src/**/*.test.ts", "test/{capture,mesh,play,cluster-e2e}/*.test.ts"];
/** A literal that names a test, alone or as a row of a table of them. */
const NUMBERED = /(?:\(|\[|name: )\s*["'`](\d+(?:, \d+)*): /g;

/** The files of each number, sorted. Throws for a number that is not in the catalogue. */
function filesByNumber(count: number): ReadonlyMap<number, readonly string[]> {
  const found = new Map<number, string[]>();
  const files = TESTS.flatMap((pattern) => [...new Bun.Glob(pattern).scanSync(ROOT)]).sort();
  for (const file of files) {
    const text = readFileSync(join(ROOT, file), "utf8");
    const numbers = [...text.matchAll(NUMBERED)].flatMap((match) => (match[1] ?? "").split(", ").map(Number));
    for (const number of new Set(numbers)) {
      if (number < 1 || number > count) throw new Error(`${file} names scenario ${number}, and there are ${count}`);
      found.set(number, [...(found.get(number) ?? []), file]);
    }
  }
  return found;
}

function page(): string {
  const count = Object.values(CATALOGUE).flat().length;
  const files = filesByNumber(count);
  let number = 0;
  const groups = Object.entries(CATALOGUE).map(([title, scenarios]) => {
    const rows = scenarios.map((text) => {
      number++;
      const shown = (files.get(number) ?? []).map((file) => `\`${file}\``).join(", ");
      return `| ${number} | ${text} | ${shown} |`;
    });
    return `## ${title}\n\n| no. | scenario | tests |\n| --- | --- | --- |\n${rows.join("\n")}\n`;
  });
  return `<!-- Generated by \`make gen\` from scripts/gen-scenarios.ts and the names of the tests: edit those. -->

# Scenarios

What the data plane has to stand: most of it went wrong in another mesh before. A test that shows a scenario begins its name with the
number; of ${count} scenarios ${files.size} have such a test.

${groups.join("\n")}`;
}

const text = page();
if (!process.argv.includes("--check")) writeFileSync(PAGE, text);
else if (!existsSync(PAGE) || readFileSync(PAGE, "utf8") !== text) {
  process.stderr.write("docs/scenarios.md differs from what the tests' names give: run 'make gen' and commit\n");
  process.exitCode = 1;
}
