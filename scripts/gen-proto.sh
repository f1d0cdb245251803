#!/usr/bin/env bash
# Generates src/wire/gen from src/wire/proto with buf and ts-proto, both from node_modules; needs no network.
# With --check it writes nothing and fails when what is there differs from what would be generated.
set -euo pipefail
cd "$(dirname "$0")/.."

out=src/wire/gen
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT

options=(
  importSuffix=.ts esModuleInterop=true
  # Codecs only: no JSON, no partials, no registry, no service stubs.
  outputJsonMethods=false outputPartialMethods=false outputTypeRegistry=false outputServices=none useExactTypes=false
  # uint64 as number, refused beyond 2^53; maps as Map, so that a key like __proto__ is a key.
  forceLong=number useMapType=true oneof=unions-value enumsAsLiterals=true unrecognizedEnum=false
  useReadonlyTypes=true
)
joined=$(IFS=,; echo "${options[*]}")
template=$(printf '{"version":"v2","plugins":[{"local":"node_modules/.bin/protoc-gen-ts_proto","out":"%s","opt":"%s","include_imports":true,"include_wkt":true}]}' "$fresh" "$joined")

node_modules/.bin/buf generate src/wire/proto --template "$template"

if [ "${1:-}" = --check ]; then
  diff -r "$fresh" "$out" >/dev/null || { echo "$out differs from what src/wire/proto gives: run 'make gen' and commit" >&2; exit 1; }
else
  rm -rf "$out"
  cp -r "$fresh" "$out"
fi
