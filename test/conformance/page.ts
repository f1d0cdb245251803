/** The page docs/conformance.md, written from the results of a run. */
import { DEVIATIONS, TARGETS, type TargetName } from "./deviations.ts";
import type { Case, Outcome } from "./results.ts";

export type Results = Readonly<Record<TargetName, readonly Case[]>>;

const WORDS: Readonly<Record<Outcome, string>> = { passed: "pass", skipped: "skipped", failed: "deviates" };

const INTRODUCTION = `# HTTP/2 conformance

\`make conformance\` lets [h2spec](https://github.com/summerwind/h2spec) 2.6.0 judge our HTTP/2 (\`src/tunnel/\`), and writes this
page. It fails when a case deviates that is not explained here, and when one that is explained does not deviate any more.

- **Echo server**: the server of \`src/tunnel/\` with ordinary requests, each answered by 200 and an echo of itself. Here frames,
  streams, flow control, messages and HPACK are judged as anybody's server.
- **Tunnel port**: port 15008 of a whole sidecar, as it runs in a pod. It takes CONNECT to its own pod and nothing else, and h2spec
  sends GET and POST: each is answered by 400. What is judged are frames, and that nothing else gets in.
- **Client**: the client of \`src/tunnel/\` against h2specd, which answers a GET as no server should.

h2spec is of RFC 7540; we implement RFC 9113. It has no certificate, so a shim with one of the mesh stands between it and both
servers and passes bytes on. HPACK is judged by the public vectors of \`http2jp/hpack-test-case\` as well
(\`src/tunnel/hpack-vectors.test.ts\`).
`;

/** The whole page. */
export function page(results: Results): string {
  const names = Object.keys(TARGETS) as TargetName[];
  const summary = names.map((name) => {
    const count = (outcome: Outcome) => results[name].filter((one) => one.outcome === outcome).length;
    return `| ${TARGETS[name]} | ${results[name].length} | ${count("passed")} | ${count("skipped")} | ${count("failed")} |`;
  });
  return [
    INTRODUCTION,
    "## Summary\n",
    "| | cases | pass | skipped | deviate |\n| --- | --- | --- | --- | --- |",
    ...summary,
    "\n## Deviations\n",
    deviationsTable(),
    "\n## Cases of the servers\n",
    `| case | | ${TARGETS.echo} | ${TARGETS.tunnel} |\n| --- | --- | --- | --- |`,
    ...results.echo.map(({ id, title, outcome }) => {
      const other = results.tunnel.find((one) => one.id === id);
      return `| ${id} | ${cell(title)} | ${WORDS[outcome]} | ${other === undefined ? "" : WORDS[other.outcome]} |`;
    }),
    "\n## Cases of the client\n",
    `| case | | ${TARGETS.client} |\n| --- | --- | --- |`,
    ...results.client.map(({ id, title, outcome }) => `| ${id} | ${cell(title)} | ${WORDS[outcome]} |`),
    "",
  ].join("\n");
}

/** The explanations, as the page has them. */
export function deviationsTable(): string {
  const rows = DEVIATIONS.map(({ targets, cases, outcome, why }) => {
    const where = targets.map((name) => TARGETS[name]).join(", ");
    return `| ${where} | ${cases.join(", ")} | ${WORDS[outcome]} | ${why} |`;
  });
  return ["| where | cases | | why |\n| --- | --- | --- | --- |", ...rows].join("\n");
}

/** One sentence a case that is not as the table of deviations says. */
export function unexplained(results: Results): readonly string[] {
  return (Object.keys(TARGETS) as TargetName[]).flatMap((name) => {
    const explained = new Map(
      DEVIATIONS.filter(({ targets }) => targets.includes(name)).flatMap(({ cases, outcome }) =>
        cases.map((id) => [id, outcome] as const),
      ),
    );
    const wrong: string[] = [];
    for (const { id, title, outcome } of results[name]) {
      const expected = explained.get(id) ?? "passed";
      if (outcome !== expected) wrong.push(`${TARGETS[name]}: ${id} (${title}) ${outcome}, not ${expected}`);
      explained.delete(id);
    }
    for (const id of explained.keys()) wrong.push(`${TARGETS[name]}: ${id} is explained, and h2spec has no such case`);
    return wrong;
  });
}

function cell(text: string): string {
  return text.replaceAll("|", "\\|");
}
