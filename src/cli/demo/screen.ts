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
    for (let at = 0, indent = INDENT; at === 0 || at < line.length; at += WIDTH - indent, indent = INDENT + 2) {
      say(dim(`${" ".repeat(indent)}${line.slice(at, at + WIDTH - indent)}`));
    }
  }
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
    const room = WIDTH - (width + 12);
    const fact = result.fact.length > room ? `${result.fact.slice(0, room - 1)}…` : result.fact;
    const mark = result.held ? green("yes ") : red("NO  ");
    say(`${String(index + 1).padStart(2)}  ${result.title.padEnd(width)}  ${mark}  ${fact}`);
  });
  say("");
}
