/** `$(NAME)` in command, args and env values, as Kubernetes expands it. */

/**
 * Expands `$(NAME)` from `values`; an unknown name stays as it is written and `$$` is a literal `$`
 * (Kubernetes: third_party/forked/golang/expansion).
 */
export function expand(text: string, values: ReadonlyMap<string, string>): string {
  let out = "";
  for (let i = 0; i < text.length; i++) {
    const char = text[i] as string;
    const next = text[i + 1];
    if (char !== "$" || next === undefined) {
      out += char;
    } else if (next === "$") {
      out += "$";
      i++;
    } else if (next === "(") {
      const end = text.indexOf(")", i + 2);
      if (end < 0) {
        out += "$(";
        i++;
      } else {
        const name = text.slice(i + 2, end);
        out += values.get(name) ?? `$(${name})`;
        i = end;
      }
    } else {
      // The operator before an ordinary character: both are kept.
      out += char + next;
      i++;
    }
  }
  return out;
}
