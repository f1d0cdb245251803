/** How `tulle play` tells what happens. Colour only on a terminal. */
import type { PlayEvent } from "../local/index.ts";

type PodEvent = Extract<PlayEvent, { type: "pod" }>;

export class PlayScreen {
  readonly #out: NodeJS.WriteStream;
  readonly #detached: boolean;
  readonly #colour: boolean;
  readonly #pods = new Map<string, PodEvent>();
  #ready = false;
  #stopping = false;

  constructor(out: NodeJS.WriteStream, options: { readonly detached: boolean }) {
    this.#out = out;
    this.#detached = options.detached;
    this.#colour = out.isTTY === true && process.env["NO_COLOR"] === undefined;
    this.#line("Images stand for this machine's own root file system: each container gets a throw-away copy of it.");
  }

  show(event: PlayEvent): void {
    switch (event.type) {
      case "step":
        return this.#line(`${this.#paint(32, "✓")} ${event.text}`);
      case "notice":
        return this.#line(`${this.#paint(33, "!")} ${event.text}`);
      case "pod":
        return this.#pod(event);
      case "pod-gone":
        this.#pods.delete(`${event.namespace}/${event.name}`);
        if (this.#ready && !this.#stopping) this.#line(`- pod ${event.namespace}/${event.name} is gone`);
        return;
      case "ready": {
        this.#ready = true;
        const pods = event.pods === 1 ? "1 pod is" : `${event.pods} pods are`;
        this.#line(`${this.#paint(1, `${pods} ready`)} after ${event.seconds.toFixed(1)} s`);
        if (this.#detached) this.#line("it goes on running: see `tulle get pods -A`, end it with `tulle stop`");
        else
          this.#line(
            "press Ctrl-C to stop; in another terminal: tulle get pods -A, tulle logs POD, tulle exec POD -- CMD",
          );
        return;
      }
      case "stopping":
        this.#stopping = true;
        return this.#line("stopping…");
      default:
        return;
    }
  }

  stopped(): void {
    this.#line("stopped; nothing is left");
  }

  /** A line for each pod that is not ready yet. */
  unsettled(): string {
    return [...this.#pods.values()]
      .filter((pod) => !pod.settled)
      .map((pod) => `  ${pod.namespace}/${pod.name}: ${pod.status}${pod.troubles.map((one) => `; ${one}`).join("")}\n`)
      .join("");
  }

  #pod(event: PodEvent): void {
    const key = `${event.namespace}/${event.name}`;
    const before = this.#pods.get(key);
    this.#pods.set(key, event);
    const time = `(${event.age.toFixed(1)} s)`;
    const subject = `pod ${key}`;
    if (event.settled) {
      if (before?.settled !== true) {
        this.#line(`${this.#paint(32, "✓")} ${subject} ${event.status} ${event.ready} ${this.#paint(2, time)}`);
      }
      return;
    }
    // An end that somebody asked for is no trouble, whatever code it ends with.
    const asked = this.#stopping || event.status === "Terminating";
    const trouble = asked ? "" : event.troubles.join("; ");
    if (trouble !== "" && trouble !== before?.troubles.join("; ")) {
      this.#line(`${this.#paint(31, "✗")} ${subject} ${event.status}: ${trouble}`);
    } else if (before?.settled === true && !this.#stopping) this.#line(`- ${subject} ${event.status} ${event.ready}`);
  }

  #line(text: string): void {
    this.#out.write(`${text}\n`);
  }

  #paint(code: number, text: string): string {
    return this.#colour ? `\u001b[${code}m${text}\u001b[0m` : text;
  }
}
