/** The files of a pod's volumes, from its specification and what the run knows. */
import type { ConfigMapLookup } from "../container/variables.ts";
import { LocalError } from "../errors.ts";
import type { KeyToPath, ProjectedSource, VolumeSpec } from "../kinds.ts";
import { fieldValue, type PodFacts } from "../runner/facts.ts";
import type { SignedToken } from "../tokens.ts";
import type { VolumeFile } from "./atomic.ts";

const DEFAULT_MODE = 0o644;
const DEFAULT_TOKEN_LIFETIME = 3600;

/** What volumes are filled from. */
export interface VolumeSources {
  readonly facts: PodFacts;
  readonly configMap: ConfigMapLookup;
  /** Signs a token for the pod; lifetime in seconds. Undefined audience: the API server's. */
  readonly token: (audience: string | undefined, lifetime: number) => SignedToken;
}

export interface VolumeContent {
  readonly files: readonly VolumeFile[];
  /** Seconds of the shortest token in it; undefined without one. */
  readonly tokenLifetime: number | undefined;
  /** ConfigMaps that it shows. */
  readonly configMaps: readonly string[];
}

/** The content of a volume; undefined for an emptyDir. Throws LocalError `config-map-missing`. */
export function volumeContent(volume: VolumeSpec, sources: VolumeSources): VolumeContent | undefined {
  if (volume.emptyDir !== undefined) return undefined;
  const files: VolumeFile[] = [];
  const configMaps: string[] = [];
  let tokenLifetime: number | undefined;
  const mode = volume.configMap?.defaultMode ?? volume.downwardAPI?.defaultMode ?? volume.projected?.defaultMode;
  const add = (path: string, content: string, own: number | undefined) =>
    files.push({ path, content, mode: own ?? mode ?? DEFAULT_MODE });
  const all: readonly ProjectedSource[] = [
    ...(volume.configMap === undefined ? [] : [{ configMap: volume.configMap }]),
    ...(volume.downwardAPI === undefined ? [] : [{ downwardAPI: volume.downwardAPI }]),
    ...(volume.projected?.sources ?? []),
  ];
  for (const source of all) {
    if (source.configMap !== undefined) {
      const { name, items, optional } = source.configMap;
      configMaps.push(name);
      const data = sources.configMap(name);
      if (data === undefined && optional !== true) {
        throw new LocalError("config-map-missing", `volume "${volume.name}": ConfigMap "${name}" is missing`);
      }
      for (const item of items ?? Object.keys(data ?? {}).map((key): KeyToPath => ({ key, path: key }))) {
        const value = data?.[item.key];
        if (value !== undefined) add(item.path, value, item.mode);
        else if (optional !== true) {
          const what = `volume "${volume.name}": ConfigMap "${name}" has no key "${item.key}"`;
          throw new LocalError("config-map-missing", what);
        }
      }
    }
    if (source.downwardAPI !== undefined) {
      for (const item of source.downwardAPI.items) {
        add(item.path, fieldValue(item.fieldRef.fieldPath, sources.facts) ?? "", item.mode);
      }
    }
    if (source.serviceAccountToken !== undefined) {
      const { audience, expirationSeconds, path } = source.serviceAccountToken;
      const lifetime = expirationSeconds ?? DEFAULT_TOKEN_LIFETIME;
      add(path, sources.token(audience, lifetime).token, undefined);
      tokenLifetime = Math.min(tokenLifetime ?? lifetime, lifetime);
    }
  }
  return { files, tokenLifetime, configMaps };
}
