#!/usr/bin/env bash
# Makes the image without a container engine: dist/tulle-image.tar, an OCI archive of the content that the Dockerfile gives,
# for this machine's architecture. Two layers, so that a new tulle leaves the other one cached: system, then the binary. The
# same files give the same bytes: names sorted, owners and times fixed.
#   IMAGE=NAME:TAG   another name than localhost/tulle:VERSION
set -euo pipefail
cd "$(dirname "$0")/.."
version=$(sed -nE 's/^  "version": "(.*)",$/\1/p' package.json)
name=${IMAGE:-localhost/tulle:$version}
out=dist/tulle-image.tar
work=$(mktemp -d -p dist)
trap 'rm -rf "$work"' EXIT
blobs=$work/oci/blobs/sha256
mkdir -p "$blobs" "$work/binary/usr/local/bin"

image/rootfs.sh "$work/system"
install -m 755 dist/tulle "$work/binary/usr/local/bin/tulle"

digest() { sha256sum "$1" | cut -d' ' -f1; }
pack() { # pack FOLDER OUT: a tar that depends on names, modes and contents alone
  tar -C "$1" --sort=name --numeric-owner --owner=0 --group=0 --mtime=@0 --format=ustar -cf "$2" .
}
store() { # store FILE: moves it among the blobs; prints `"digest":…,"size":…` of a descriptor
  local sum
  sum=$(digest "$1")
  printf '"digest":"sha256:%s","size":%s' "$sum" "$(stat -c %s "$1")"
  mv "$1" "$blobs/$sum"
}

diff_ids=() layers=()
for layer in system binary; do
  pack "$work/$layer" "$work/$layer.tar"
  diff_ids+=("\"sha256:$(digest "$work/$layer.tar")\"")
  gzip -n -6 "$work/$layer.tar"
  layers+=("{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar+gzip\",$(store "$work/$layer.tar.gz")}")
done
join() { local IFS=,; echo "$*"; }

architecture=$(dpkg --print-architecture)
created=1970-01-01T00:00:00Z
printf '{"created":"%s","architecture":"%s","os":"linux","config":{"User":"65532:65532","Entrypoint":["/usr/local/bin/tulle"],"Env":["PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],"WorkingDir":"/","Labels":{"org.opencontainers.image.title":"tulle","org.opencontainers.image.version":"%s","org.opencontainers.image.licenses":"Apache-2.0"}},"rootfs":{"type":"layers","diff_ids":[%s]},"history":[{"created":"%s","created_by":"image/rootfs.sh"},{"created":"%s","created_by":"scripts/build.sh"}]}' \
  "$created" "$architecture" "$version" "$(join "${diff_ids[@]}")" "$created" "$created" >"$work/config"
printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json",%s},"layers":[%s]}' \
  "$(store "$work/config")" "$(join "${layers[@]}")" >"$work/manifest"
# containerd reads the first annotation, the OCI specification names the second.
printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json",%s,"platform":{"architecture":"%s","os":"linux"},"annotations":{"io.containerd.image.name":"%s","org.opencontainers.image.ref.name":"%s"}}]}' \
  "$(store "$work/manifest")" "$architecture" "$name" "${name##*:}" >"$work/oci/index.json"
printf '{"imageLayoutVersion":"1.0.0"}' >"$work/oci/oci-layout"
pack "$work/oci" "$out.new"
mv "$out.new" "$out"
printf 'image: %s in %s (%s MB; unpacked %s MB)\n' "$name" "$out" "$(($(stat -c %s "$out") / 1000000))" \
  "$(($(du -sb "$work/system" "$work/binary" | awk '{ s += $1 } END { print s }') / 1000000))"
