/** Cuts a template into text and actions, with the white space that `{{-` and `-}}` eat already gone. */
import { InstallError } from "../errors.ts";

export type Piece =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "action"; readonly code: string; readonly line: number };

/** `file` is named in errors. */
export function pieces(source: string, file: string): readonly Piece[] {
  const found: Piece[] = [];
  let at = 0;
  let trim = false;
  const lineOf = (offset: number) => source.slice(0, offset).split("\n").length;
  while (at < source.length) {
    const open = source.indexOf("{{", at);
    let text = source.slice(at, open === -1 ? source.length : open);
    if (trim) text = text.trimStart();
    if (open === -1) {
      found.push({ kind: "text", text });
      break;
    }
    const comment = /^\{\{-?\s*\/\*/.test(source.slice(open, open + 8));
    const close = comment ? source.indexOf("}}", source.indexOf("*/", open)) : endOfAction(source, open + 2);
    if (close === -1) throw new InstallError("bad-template", `${file}:${lineOf(open)}: {{ without }}`);
    let code = source.slice(open + 2, close);
    if (/^-\s/.test(code)) {
      text = text.trimEnd();
      code = code.slice(1);
    }
    trim = /\s-$/.test(code);
    if (trim) code = code.slice(0, -1);
    if (text !== "") found.push({ kind: "text", text });
    if (!comment) found.push({ kind: "action", code: code.trim(), line: lineOf(open) });
    at = close + 2;
  }
  return found;
}

/** A string may hold }}. */
function endOfAction(source: string, from: number): number {
  let quoted = false;
  for (let at = from; at < source.length; at++) {
    if (source[at] === '"' && source[at - 1] !== "\\") quoted = !quoted;
    else if (!quoted && source.startsWith("}}", at)) return at;
  }
  return -1;
}

export type Token =
  | { readonly kind: "string"; readonly value: string }
  | { readonly kind: "number"; readonly value: number }
  | { readonly kind: "field"; readonly root: boolean; readonly path: readonly string[] }
  | { readonly kind: "word"; readonly value: string }
  | { readonly kind: "(" | ")" | "|" };

const TOKEN =
  /\s*(?:("(?:[^"\\]|\\.)*")|(-?\d+(?:\.\d+)?)(?![\w.])|(\$?(?:\.[A-Za-z_]\w*)+|\$|\.)(?![\w.])|([A-Za-z_]\w*)|([()|]))/y;

/** The tokens of one action. */
export function tokens(code: string, where: string): readonly Token[] {
  const found: Token[] = [];
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < code.trimEnd().length) {
    const at = TOKEN.lastIndex;
    const match = TOKEN.exec(code);
    if (match === null) throw new InstallError("bad-template", `${where}: cannot read ${code.slice(at)}`);
    const [, text, number, field, word, sign] = match;
    if (text !== undefined) found.push({ kind: "string", value: JSON.parse(text) as string });
    else if (number !== undefined) found.push({ kind: "number", value: Number(number) });
    else if (field !== undefined)
      found.push({ kind: "field", root: field.startsWith("$"), path: field.split(".").slice(1).filter(Boolean) });
    else if (word !== undefined) found.push({ kind: "word", value: word });
    else found.push({ kind: sign as "(" | ")" | "|" });
  }
  return found;
}
