/** How the demo tells its story: a line while a step runs, its facts, and a table at the end. Colour only on a terminal. */

export interface StepResult {
  readonly title: string;
  readonly held: boolean;
  /** One short fact for the table. */
  readonly fact: string;
}

const tty = process.stdout.isTTY === true && process.env["NO_COLOR"] === undefined;
const paint = (code: number, text: string) => (tty ? `\u001b[${code}m${text}\u001b[0m` : text);
export const bold = (text: string) => paint(1, text);
const green = (text: string) => paint(32, text);
const red = (text: string) => paint(31, text);
const dim = (text: string) => paint(2, text);

export function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

const WIDTH = 100;
const INDENT = 4;

/** The facts of a step, indented under it; a longer line goes on below, indented further. */
export function facts(lines: readonly string[]): void {
  for (const line of lines) {
    folded(line, WIDTH - INDENT - 2).forEach((part, index) => {
      say(dim(`${" ".repeat(index === 0 ? INDENT : INDENT + 2)}${part}`));
    });
  }
}

/** Cuts a line after a space or comma into parts of at most `room` characters; without one where it must. */
export function folded(line: string, room: number): readonly string[] {
  const parts: string[] = [];
  let rest = line;
  while (rest.length > room) {
    const head = rest.slice(0, room + 1);
    const at = Math.max(head.lastIndexOf(" "), head.lastIndexOf(",", room - 1) + 1);
    const cut = at > room / 2 ? at : room;
    parts.push(rest.slice(0, cut).trimEnd());
    rest = rest.slice(cut).trimStart();
  }
  return [...parts, rest];
}

export function stepTitle(number: number, of: number, title: string): void {
  process.stdout.write(`\n${bold(`${number}/${of} ${title}`)}\n`);
}

export function stepEnd(held: boolean, fact: string, seconds: number): void {
  say(`  ${held ? green("✓") : red("✗")} ${fact} ${dim(`(${seconds.toFixed(1)} s)`)}`);
}

/** The summary table: at most 100 columns wide. */
export function table(results: readonly StepResult[]): void {
  const width = Math.max(...results.map((result) => result.title.length));
  say("");
  say(bold(`${"step".padEnd(width + 6)}held  what was seen`));
  results.forEach((result, index) => {
    const [fact = "", ...more] = folded(result.fact, WIDTH - (width + 12));
    const mark = result.held ? green("yes ") : red("NO  ");
    say(`${String(index + 1).padStart(2)}  ${result.title.padEnd(width)}  ${mark}  ${fact}`);
    for (const part of more) say(`${" ".repeat(width + 12)}${part}`);
  });
  say("");
}
