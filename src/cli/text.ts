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

export type Colour = "red" | "yellow" | "green";

const CODES: Readonly<Record<Colour, number>> = { red: 31, yellow: 33, green: 32 };

/** https://no-color.org is heard. */
export function coloured(text: string, colour: Colour, stream: NodeJS.WriteStream): string {
  if (stream.isTTY !== true || (process.env["NO_COLOR"] ?? "") !== "") return text;
  return `\u001b[${CODES[colour]}m${text}\u001b[0m`;
}
