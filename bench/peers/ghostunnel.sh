#!/usr/bin/env bash
# ghostunnel (Apache-2.0), built by Go from the modules that ghostunnel/go.mod and go.sum pin: minutes.
#   ghostunnel.sh DIR   leaves DIR/bin/ghostunnel
set -euo pipefail
cd "$(dirname "$0")/ghostunnel"
command -v go >/dev/null || { echo "Go is missing (1.24 or newer)"; exit 1; }
command -v gcc >/dev/null || { echo "a C compiler is missing (Debian: apt-get install gcc libc6-dev)"; exit 1; }
# Without cgo this version does not compile.
CGO_ENABLED=1 nice -n 19 go build -mod=readonly -trimpath -buildvcs=false -ldflags '-s -w' -o "$1/bin/ghostunnel.new" \
  github.com/ghostunnel/ghostunnel
"$1/bin/ghostunnel.new" --version
mv "$1/bin/ghostunnel.new" "$1/bin/ghostunnel"
