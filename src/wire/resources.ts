/** Settings and trust bundle between the mesh's types and the wire. */
import { type ProxySettings, parseCidr, type TrustBundleState } from "../mesh/index.ts";
import { codec } from "./codec.ts";
import { WireError } from "./errors.ts";
import { Mode, Settings, TrustBundle } from "./gen/tulle/v1/discovery.ts";

const SETTINGS = codec("tulle.v1.Settings", Settings);
const TRUST_BUNDLE = codec("tulle.v1.TrustBundle", TrustBundle);

export function settingsToWire(settings: ProxySettings): Uint8Array {
  return SETTINGS.encode({
    mode: settings.mode === "strict" ? Mode.MODE_STRICT : Mode.MODE_PERMISSIVE,
    podRanges: settings.podRanges,
    serviceRanges: settings.serviceRanges,
    reissueEpoch: settings.reissueEpoch,
  });
}

/** Throws WireError; an unknown mode is refused, never taken for the looser one. */
export function settingsFromWire(bytes: Uint8Array): ProxySettings {
  const { mode, podRanges, serviceRanges, reissueEpoch } = SETTINGS.decode(bytes);
  if (mode !== Mode.MODE_STRICT && mode !== Mode.MODE_PERMISSIVE) {
    throw new WireError("bad-settings", `Settings with the unknown mode ${mode}`);
  }
  for (const range of [...podRanges, ...serviceRanges]) {
    if (parseCidr(range) === undefined) {
      throw new WireError("bad-settings", `Settings with ${JSON.stringify(range)}, which is not a CIDR`);
    }
  }
  return { mode: mode === Mode.MODE_STRICT ? "strict" : "permissive", podRanges, serviceRanges, reissueEpoch };
}

export function trustBundleToWire(bundle: TrustBundleState): Uint8Array {
  return TRUST_BUNDLE.encode({ sequence: bundle.sequence, roots: [...bundle.roots] });
}

/** Throws WireError; a bundle without a root would cut every proxy off, so it is refused. */
export function trustBundleFromWire(bytes: Uint8Array): TrustBundleState {
  const { sequence, roots } = TRUST_BUNDLE.decode(bytes);
  if (roots.length === 0) throw new WireError("bad-trust-bundle", "a TrustBundle without a root");
  return { sequence, roots };
}
