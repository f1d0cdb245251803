/** The demo's client: one Node script that sends requests over kept-alive connections and reports latency and failures. */

export interface LoadReport {
  readonly done: number;
  readonly failed: number;
  /** Milliseconds. */
  readonly p50: number;
  readonly p99: number;
  readonly perSecond: number;
}

/** Sends requests to `url` from `workers` connections for `seconds`. Runs in the client's container. */
export function loadScript(url: string, workers: number, seconds: number): readonly string[] {
  const source = `
const http = require("node:http");
const agent = new http.Agent({ keepAlive: true, maxSockets: ${workers} });
const times = []; let failed = 0; const started = process.hrtime.bigint();
const seconds = (since) => Number(process.hrtime.bigint() - since) / 1e9;
const one = () => new Promise((next) => {
  const t = process.hrtime.bigint();
  const bad = () => { failed++; next(); };
  const request = http.get(${JSON.stringify(url)}, { agent }, (answer) => {
    answer.resume();
    answer.on("error", bad);
    answer.on("end", () => { if (answer.statusCode === 200) times.push(seconds(t) * 1000); else failed++; next(); });
  });
  request.on("error", bad);
});
const worker = async () => { while (seconds(started) < ${seconds} && failed < 1000) await one(); };
Promise.all(Array.from({ length: ${workers} }, worker)).then(() => {
  const took = seconds(started); times.sort((a, b) => a - b);
  const at = (q) => times.length ? times[Math.min(times.length - 1, Math.floor(times.length * q))] : 0;
  console.log(JSON.stringify({ done: times.length, failed, p50: at(0.5), p99: at(0.99), perSecond: Math.round(times.length / took) }));
  process.exit(0);
});`;
  return ["node", "-e", source];
}
