#!/usr/bin/env bash
# image.sh OUT.tar CONFIG NAME[,NAME…] LAYER…: makes a container image as a docker archive, without a registry and without a
# container engine. A LAYER is a folder or an uncompressed tar, the lowest first. CONFIG is JSON as in an image's own
# configuration: {"Entrypoint": […], "Cmd": […], "Env": […], "User": "…"}. The same input makes the same image.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
[ $# -ge 4 ] || die "usage: image.sh OUT.tar CONFIG NAME[,NAME…] LAYER…"
out=$1 config=$2
IFS=, read -ra names <<<"$3"
shift 3
work=$(mktemp -d -p "$(dirname "$out")")
trap 'rm -rf "$work"' EXIT

layers=() digests=()
for layer in "$@"; do
  file=layer${#layers[@]}.tar
  if [ -d "$layer" ]; then
    tar -C "$layer" --sort=name --numeric-owner --owner=0 --group=0 --mtime=@0 -cf "$work/$file" .
  else
    ln "$layer" "$work/$file" 2>/dev/null || cp "$layer" "$work/$file"
  fi
  layers+=("$file")
  digests+=("sha256:$(sha256sum "$work/$file" | cut -d' ' -f1)")
done

jq -cn --argjson config "$config" --arg arch "$(dpkg --print-architecture)" '
  {architecture: $arch, os: "linux", created: "1970-01-01T00:00:00Z", config: $config,
   rootfs: {type: "layers", diff_ids: $ARGS.positional},
   history: [$ARGS.positional[] | {created: "1970-01-01T00:00:00Z"}]}' --args "${digests[@]}" >"$work/config"
id=$(sha256sum "$work/config" | cut -d' ' -f1).json
mv "$work/config" "$work/$id"
jq -cn --arg id "$id" --arg names "${names[*]}" --arg layers "${layers[*]}" \
  '[{Config: $id, RepoTags: ($names / " "), Layers: ($layers / " ")}]' >"$work/manifest.json"
tar -C "$work" -cf "$out.new" manifest.json "$id" "${layers[@]}"
mv "$out.new" "$out"
