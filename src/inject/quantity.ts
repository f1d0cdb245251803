/** Kubernetes' resource quantities (apimachinery `resource.Quantity`), as far as requests and limits need them. */

export interface Quantity {
  /** As it was written. */
  readonly text: string;
  /** Cores, or bytes. Only to compare: large values lose precision. */
  readonly value: number;
}

const SUFFIXES: Readonly<Record<string, number>> = {
  "": 1,
  n: 1e-9,
  u: 1e-6,
  m: 1e-3,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
  Ei: 2 ** 60,
};

/** A number with a suffix or an exponent: `100m`, `1.5`, `128Mi`, `1e3`. Undefined for anything else. */
export function parseQuantity(text: string): Quantity | undefined {
  const match = /^(\d+\.?\d*|\.\d+)(?:([eE][+-]?\d{1,2})|([numkMGTPE]|[KMGTPE]i)?)$/.exec(text);
  if (match === null) return undefined;
  const scale = match[2] === undefined ? (SUFFIXES[match[3] ?? ""] ?? Number.NaN) : Number(`1${match[2]}`);
  const value = Number(match[1]) * scale;
  return Number.isFinite(value) ? { text, value } : undefined;
}
