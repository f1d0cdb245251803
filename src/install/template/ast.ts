/** What a template is made of. */

export type Node =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "output"; readonly value: Expression }
  | { readonly kind: "if"; readonly branches: readonly Branch[]; readonly otherwise: readonly Node[] }
  /** The dot becomes the value, unless that is empty. */
  | {
      readonly kind: "with";
      readonly value: Expression;
      readonly body: readonly Node[];
      readonly otherwise: readonly Node[];
    };

export interface Branch {
  readonly condition: Expression;
  readonly body: readonly Node[];
}

export type Expression =
  | { readonly kind: "literal"; readonly value: string | number | boolean }
  /** `.a.b`; from the root when it began with `$`. */
  | { readonly kind: "field"; readonly root: boolean; readonly path: readonly string[] }
  | { readonly kind: "call"; readonly name: string; readonly args: readonly Expression[] };

export interface Template {
  readonly body: readonly Node[];
  /** What the file defines for `include`. */
  readonly defines: ReadonlyMap<string, readonly Node[]>;
}
