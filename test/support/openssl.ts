/** Keys and certificates by openssl, which knows nothing of ours. */

/** Makes a P-256 key and its certificate, self-signed unless `more` says otherwise. */
export function certificate(
  files: { readonly key: string; readonly crt: string },
  subject: string,
  ...more: readonly string[]
): void {
  const made = Bun.spawnSync([
    ...["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"],
    ...["-subj", subject, "-keyout", files.key, "-out", files.crt, ...more],
  ]);
  if (!made.success) throw new Error(`openssl could not make ${files.crt}: ${made.stderr.toString()}`);
}
