/** Repeats a probe on its period and says when its verdict is reached. */
import type { Clock, Millis } from "../../mesh/index.ts";
import type { Probe } from "../kinds.ts";
import type { ProbeResult } from "./probe.ts";

/** The first wait between the attempts of an eager probe; it doubles. */
const FIRST_WAIT: Millis = 20;
const LONGEST_EAGER_WAIT: Millis = 1000;

/**
 * Starts probing after `initialDelaySeconds`; `tell` hears `successThreshold` successes or `failureThreshold` failures
 * in a row, again each time. Until its first success an `eager` probe (startup, readiness) is tried more often
 * than its period, so that a pod is ready when it is and not up to a period later; of its failures one a
 * period counts, so thresholds keep their meaning in seconds. Disposing ends it.
 */
export function startProbing(
  probe: Probe,
  options: {
    readonly clock: Clock;
    readonly eager: boolean;
    readonly attempt: () => Promise<ProbeResult>;
    readonly tell: (verdict: ProbeResult) => void;
  },
): Disposable {
  const period = (probe.periodSeconds ?? 10) * 1000;
  const successes = probe.successThreshold ?? 1;
  const failures = probe.failureThreshold ?? 3;
  let over = false;
  let eager = options.eager;
  let wait = Math.min(FIRST_WAIT, period);
  let uncounted: Millis = 0;
  let good = 0;
  let bad = 0;
  let timer: Disposable;
  const run = async () => {
    const result = await options.attempt();
    if (over) return;
    let delay = period;
    if (result.ok) {
      eager = false;
      bad = 0;
      if (++good >= successes) options.tell(result);
    } else {
      good = 0;
      if (eager) {
        delay = wait;
        wait = Math.min(wait * 2, period, LONGEST_EAGER_WAIT);
      }
      uncounted += delay;
      if (uncounted >= period) {
        uncounted -= period;
        bad++;
      }
      if (bad >= failures) {
        bad = 0;
        options.tell(result);
      }
    }
    if (!over) timer = options.clock.after(delay, () => void run());
  };
  timer = options.clock.after((probe.initialDelaySeconds ?? 0) * 1000, () => void run());
  return {
    [Symbol.dispose]: () => {
      over = true;
      timer[Symbol.dispose]();
    },
  };
}
