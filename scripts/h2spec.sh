#!/usr/bin/env bash
# Builds h2spec and h2specd, the outside judges of tunnel/, into .cache/h2spec, with Go from the module that
# test/conformance/h2spec pins. A minute the first time. Only `make conformance` uses them.
set -euo pipefail
cd "$(dirname "$0")/.."
cache=$PWD/.cache/h2spec
module=test/conformance/h2spec
sources=$(cat $module/go.mod $module/go.sum scripts/h2spec.sh | sha256sum)
[ "$sources" != "$(cat "$cache/sources" 2>/dev/null)" ] || exit 0
command -v go >/dev/null || { echo "h2spec: Go is missing (Debian: apt-get install golang), it builds h2spec for make conformance" >&2; exit 1; }
echo "h2spec: building" >&2
mkdir -p "$cache"
export CGO_ENABLED=0 GOFLAGS="${GOFLAGS:-} -trimpath -buildvcs=false -mod=readonly"
for program in h2spec h2specd; do
  go build -C $module -o "$cache/$program" "github.com/summerwind/h2spec/cmd/$program" 2>"$cache/log" ||
    { tail -5 "$cache/log" >&2; exit 1; }
done
echo "$sources" >"$cache/sources"
