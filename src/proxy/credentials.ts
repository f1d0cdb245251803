/** What a TLS handshake needs. Asked for at each handshake, so a renewed certificate needs no restarted listener. */

export interface Credentials {
  /** The newest certificate and bundle, or undefined while there is no valid certificate. */
  current(): TlsMaterial | undefined;
}

export interface TlsMaterial {
  /** Leaf, then intermediates, in PEM. */
  readonly cert: string;
  /** Only for this process's own TLS; never logged, never written. */
  readonly key: string;
  /** The trust bundle in PEM. */
  readonly ca: string;
}
