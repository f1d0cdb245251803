#!/usr/bin/env bash
# Gets the peers that Debian does not have (peers/*.sh) into .cache/bench/bin, each once for every change of its script. One that
# cannot be had is no failure: why it is left out is written to .cache/bench/NAME.why, and the results tell it.
#   peers.sh NAME...   these; without a name, all. SKIP_PEERS="ztunnel envoy" leaves these alone.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=$here/../.cache/bench
mkdir -p "$cache/bin"
cache=$(cd "$cache" && pwd)
[ $# -gt 0 ] || set -- ghostunnel envoy ztunnel

for name in "$@"; do
  stamp=$(find "$here/peers" -path "$here/peers/$name*" -type f -print0 | sort -z | xargs -0 cat | sha256sum | cut -d' ' -f1)
  [ "$(cat "$cache/$name.stamp" 2>/dev/null)" != "$stamp" ] || [ ! -x "$cache/bin/$name" ] || continue
  if [[ " ${SKIP_PEERS:-} " == *" $name "* ]]; then
    echo "it was to be skipped (SKIP_PEERS)" >"$cache/$name.why"
    continue
  fi
  echo "bench: getting $name; its log is .cache/bench/$name.log" >&2
  if "$here/peers/$name.sh" "$cache" >"$cache/$name.log" 2>&1; then
    echo "$stamp" >"$cache/$name.stamp"
    rm -f "$cache/$name.why"
  else
    tail -n 1 "$cache/$name.log" >"$cache/$name.why"
    echo "bench: $name is left out: $(cat "$cache/$name.why")" >&2
  fi
done
