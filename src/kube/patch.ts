/** The three ways to change a part of an object (https://kubernetes.io/docs/reference/using-api/api-concepts/#patch-and-apply). */

export type JsonPatchOperation =
  | { readonly op: "add" | "replace" | "test"; readonly path: string; readonly value: unknown }
  | { readonly op: "remove"; readonly path: string }
  | { readonly op: "move" | "copy"; readonly from: string; readonly path: string };

export type Patch =
  /** RFC 6902; a `test` that fails is `invalid`. */
  | { readonly kind: "json"; readonly operations: readonly JsonPatchOperation[] }
  /** RFC 7386: null deletes, lists are replaced as a whole. */
  | { readonly kind: "merge"; readonly value: object }
  /**
   * Server-side apply: `value` is the fields that `manager` wants, with apiVersion and kind. A field of another manager is
   * a `conflict` unless `force` takes it: only for fields that are ours to say.
   */
  | { readonly kind: "apply"; readonly value: object; readonly manager: string; readonly force?: boolean };

/** Content type and body of a patch. JSON is YAML, so an apply is sent as JSON. */
export function encodePatch(patch: Patch): { readonly contentType: string; readonly body: unknown } {
  switch (patch.kind) {
    case "json":
      return { contentType: "application/json-patch+json", body: patch.operations };
    case "merge":
      return { contentType: "application/merge-patch+json", body: patch.value };
    case "apply":
      return { contentType: "application/apply-patch+yaml", body: patch.value };
  }
}
