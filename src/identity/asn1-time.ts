/** Validity times: UTCTime through 2049, GeneralizedTime from 2050, whole seconds, always `Z` (RFC 5280 §4.1.2.5). */
import type { Millis } from "../mesh/index.ts";
import { type Der, TAG } from "./der.ts";
import { badDer, type DerReader } from "./der-reader.ts";
import { element } from "./der-writer.ts";
import { IdentityError } from "./errors.ts";

const FIRST = Date.UTC(1950, 0, 1);
const GENERALIZED_FROM = Date.UTC(2050, 0, 1);
const LAST = Date.UTC(9999, 11, 31, 23, 59, 59);

/** Writes a time, cut to the second; throws `bad-time` outside 1950–9999. */
export function writeTime(time: Millis): Der {
  const seconds = Math.floor(time / 1000) * 1000;
  if (!(seconds >= FIRST && seconds <= LAST)) {
    throw new IdentityError("bad-time", `a certificate cannot say ${time} ms: only the years 1950 to 9999 have a form`);
  }
  const digits = new Date(seconds).toISOString().replace(/[-:T]|\.000/g, "");
  return seconds < GENERALIZED_FROM
    ? element(TAG.utcTime, Buffer.from(digits.slice(2), "latin1"))
    : element(TAG.generalizedTime, Buffer.from(digits, "latin1"));
}

/** Reads a time; refuses other zones, fractions, days that no calendar has and the wrong form for the year. */
export function readTime(reader: DerReader): Millis {
  const utc = reader.peek() === TAG.utcTime;
  const bytes = reader.content(utc ? TAG.utcTime : TAG.generalizedTime);
  const yearDigits = utc ? 2 : 4;
  if (bytes.length !== yearDigits + 11 || bytes[bytes.length - 1] !== 0x5a)
    throw badDer("a time that is not YYMMDDHHMMSSZ");
  let year = digitsAt(bytes, 0, yearDigits);
  if (utc) year += year >= 50 ? 1900 : 2000;
  else if (year < 2050) throw badDer("a GeneralizedTime before 2050 (RFC 5280 §4.1.2.5)");
  const month = digitsAt(bytes, yearDigits, 2);
  const day = digitsAt(bytes, yearDigits + 2, 2);
  const hour = digitsAt(bytes, yearDigits + 4, 2);
  const minute = digitsAt(bytes, yearDigits + 6, 2);
  const second = digitsAt(bytes, yearDigits + 8, 2);
  const time = Date.UTC(year, month - 1, day, hour, minute, second);
  const date = new Date(time);
  const exists =
    date.getUTCMonth() === month - 1 && date.getUTCDate() === day && hour < 24 && minute < 60 && second < 60;
  if (!exists) throw badDer("a time that no calendar has");
  return time;
}

function digitsAt(bytes: Uint8Array, start: number, count: number): number {
  let value = 0;
  for (let i = start; i < start + count; i++) {
    const digit = (bytes[i] as number) - 0x30;
    if (digit < 0 || digit > 9) throw badDer("a time with something else than digits");
    value = value * 10 + digit;
  }
  return value;
}
