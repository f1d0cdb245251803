#!/usr/bin/env bash
# Compiles the one binary dist/tulle: every role in one file, nothing read from the current directory at start. Each role is a
# chunk of its own and compiled ahead: a proxy that waits has 16 MB of heap without and 7 MB with it, and starts in a fifth.
#   TARGET=bun-linux-arm64   for another machine than this one; Bun fetches that machine's runtime from npm
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p dist
started=$SECONDS
node_modules/.bin/bun build src/main.ts --compile --format=esm --splitting --bytecode --minify-syntax --sourcemap=none \
  --no-compile-autoload-dotenv --no-compile-autoload-bunfig \
  ${TARGET:+--target="$TARGET"} --outfile dist/tulle.new >/dev/null
mv dist/tulle.new dist/tulle
printf 'build: dist/tulle (%s MB, %ss)\n' "$(($(stat -c %s dist/tulle) / 1000000))" "$((SECONDS - started))"
