/** The results as one plot: a panel a figure, a bar a pair with its median, a whisker from minimum to maximum. */
import type { Spread } from "../statistics.ts";
import { type Results, type Summary, summarize } from "./results.ts";

interface Panel {
  readonly metric: string;
  readonly title: string;
  readonly better: "more" | "less";
  readonly digits: number;
}

const PANELS: readonly Panel[] = [
  { metric: "keepalive.rate", title: "requests/s, 64 kept connections", better: "more", digits: 0 },
  { metric: "keepalive.cpu", title: "CPU µs/request, both proxies", better: "less", digits: 1 },
  { metric: "newconn.rate", title: "new connections/s", better: "more", digits: 0 },
  { metric: "bulk.down", title: "bulk MB/s down, one connection", better: "more", digits: 0 },
  { metric: "seventy.p99", title: "p99 µs at 70 % of nginx's maximum", better: "less", digits: 0 },
  { metric: "memory.5000", title: "MiB with 5,000 idle connections", better: "less", digits: 0 },
];

const COLUMNS = 2;
const PANEL_WIDTH = 460;
const ROW_HEIGHT = 22;
const HEAD_HEIGHT = 44;
const LABEL_WIDTH = 110;
const VALUE_WIDTH = 60;
const MARGIN = 20;
const BAR_WIDTH = PANEL_WIDTH - LABEL_WIDTH - VALUE_WIDTH;

/** `direct` is left out: beside it, all pairs would look alike. */
export function renderSvg(results: Results): string {
  const summary = summarize(results.runs);
  const pairs = results.pairs.map(({ name }) => name).filter((name) => name !== "direct");
  const height = HEAD_HEIGHT + pairs.length * ROW_HEIGHT + MARGIN;
  const rows = Math.ceil(PANELS.length / COLUMNS);
  const panels = PANELS.map((panel, index) => {
    const x = MARGIN + (index % COLUMNS) * (PANEL_WIDTH + MARGIN);
    const y = Math.floor(index / COLUMNS) * height;
    return `<g transform="translate(${x} ${y})">${drawPanel(panel, summary, pairs)}</g>`;
  });
  const width = MARGIN + COLUMNS * (PANEL_WIDTH + MARGIN);
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${rows * height}" font-family="sans-serif" font-size="13">
<rect width="100%" height="100%" fill="#fff"/>
${panels.join("\n")}
</svg>
`;
}

function drawPanel({ metric, title, better, digits }: Panel, summary: Summary, pairs: readonly string[]): string {
  const found = pairs.map((name) => ({ name, spread: summary(name, metric) }));
  const most = Math.max(0, ...found.map(({ spread }) => spread?.max ?? 0));
  const bars = found.map(({ name, spread }, row) =>
    drawBar(name, spread, most, HEAD_HEIGHT + row * ROW_HEIGHT, digits),
  );
  const heading = `${xml(title)} <tspan fill="#777">(${better} is better)</tspan>`;
  return `<text y="30" font-weight="bold">${heading}</text>\n${bars.join("\n")}`;
}

function drawBar(name: string, found: Spread | undefined, most: number, y: number, digits: number): string {
  const own = name === "tulle";
  const label = `<text x="0" y="${y + 15}"${own ? ' font-weight="bold"' : ""}>${xml(name)}</text>`;
  if (found === undefined || most === 0) return `${label}<text x="${LABEL_WIDTH}" y="${y + 15}" fill="#777">–</text>`;
  const at = (value: number) => round((value / most) * BAR_WIDTH);
  const from = LABEL_WIDTH + at(found.min);
  const to = LABEL_WIDTH + at(found.max);
  const middle = y + 9;
  return [
    label,
    `<rect x="${LABEL_WIDTH}" y="${y + 2}" width="${at(found.median)}" height="14" fill="${own ? "#1f6f8b" : "#b8c4cc"}"/>`,
    `<path d="M${from} ${middle}H${to}M${from} ${middle - 4}v8M${to} ${middle - 4}v8" stroke="#333" fill="none"/>`,
    `<text x="${LABEL_WIDTH + BAR_WIDTH + 6}" y="${y + 15}">${found.median.toFixed(digits)}</text>`,
  ].join("");
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

function xml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
