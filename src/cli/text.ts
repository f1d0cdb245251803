/** Text for people: lines of at most 100 columns, colour on a terminal only. */

const WIDTH = 100;

/** Breaks the text at spaces; every line after the first begins with so many spaces, for which the first leaves room too. */
export function wrapped(text: string, indent: number): string {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(/ +/)) {
    if (line !== "" && indent + line.length + 1 + word.length > WIDTH) {
      lines.push(line);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line].join(`\n${" ".repeat(indent)}`);
}

export type Row = readonly string[];

/** Columns two spaces apart; the last one is wrapped, not padded. Every line begins with so many spaces. */
export function table(rows: readonly Row[], indent = 0): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => (row[column] ?? "").length)));
  const last = indent + widths.slice(0, -1).reduce((sum, width) => sum + width + 2, 0);
  const lines = rows.map((row) => {
    const cells = row.map((cell, column) =>
      column === widths.length - 1 ? wrapped(cell, last) : cell.padEnd(widths[column] ?? 0),
    );
    return `${" ".repeat(indent)}${cells.join("  ").trimEnd()}\n`;
  });
  return lines.join("");
}

export type Colour = "red" | "yellow" | "green";

const CODES: Readonly<Record<Colour, number>> = { red: 31, yellow: 33, green: 32 };

/** https://no-color.org is heard. */
export function coloured(text: string, colour: Colour, stream: NodeJS.WriteStream): string {
  if (stream.isTTY !== true || (process.env["NO_COLOR"] ?? "") !== "") return text;
  return `\u001b[${CODES[colour]}m${text}\u001b[0m`;
}
