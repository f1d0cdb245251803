#!/usr/bin/env bash
# images.sh [NAME…]: makes the images that pods here run from, into .cache/cluster/images; without names those before tulle.
#
#   pause, coredns   the cluster's own, from the programs of build.sh
#   busybox          Debian's, with a link for each applet (httpd, nc, wget, …)
#   debian           what a test pod wants of Debian; also goes by the names ubuntu and bash
#   tulle            dist/tulle and what it needs (iptables)
#   tulle-nft, tulle-legacy   tulle with only that variant of iptables, as for nodes that know no other
#   tulle-test-apps  the applications of the scenarios (apps/app.ts, its Bun), nginx, and what debian has
#
# Every name has the tags `latest` and `local`. What is newer than its sources stays.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
mkdir -p "$images"
work=$(mktemp -d -p "$images")
trap 'rm -rf "$work"' EXIT

bun=$project/node_modules/.bin/bun
environment='"Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]'

names() { # names NAME…: with both tags
  local name list=()
  for name in "$@"; do list+=("$name:latest" "$name:local"); done
  (IFS=, && echo "${list[*]}")
}

# fresh IMAGE SOURCE…: is it there, and newer than its sources, these scripts and the last change of Debian packages?
fresh() {
  local image=$images/$1.tar source
  shift
  for source in "$here"/{images,image,rootfs}.sh "$@"; do [ "$image" -nt "$source" ] || return 1; done
}

program_image() { # program_image NAME: a program without dependencies, alone
  mkdir "$work/$1"
  cp "$bin/$1" "$work/$1/"
  "$here/image.sh" "$images/$1.tar" "{\"Entrypoint\": [\"/$1\"], $environment}" "$(names "$1")" "$work/$1"
}

busybox_image() {
  local package applet links=$work/busybox-links
  package=$(dpkg-query -S "$(realpath "$(command -v busybox)")" 2>/dev/null || dpkg-query -S /bin/busybox)
  "$here/rootfs.sh" "$work/busybox.tar" "${package%%:*}"
  mkdir -p "$links/usr/bin" "$links/www"
  for applet in $(busybox --list); do [ "$applet" = busybox ] || ln -s busybox "$links/usr/bin/$applet"; done
  "$here/image.sh" "$images/busybox.tar" "{\"Cmd\": [\"sh\"], $environment}" "$(names busybox)" \
    "$work/busybox.tar" "$links"
}

debian_packages=(bash coreutils dash debianutils findutils grep gzip hostname libc-bin mawk procps sed tar util-linux iproute2
  iputils-ping iptables nftables tcpdump curl openssl)

debian_image() {
  "$here/rootfs.sh" "$work/debian.tar" "${debian_packages[@]}"
  "$here/image.sh" "$images/debian.tar" "{\"Cmd\": [\"bash\"], $environment}" "$(names debian ubuntu bash)" \
    "$work/debian.tar"
}

tulle_image() {
  [ -x "$project/dist/tulle" ] || die "dist/tulle is missing: make build"
  # The base changes with Debian's packages only; its layer is the bigger half of the work.
  [ "$images/tulle.base" -nt "$here/rootfs.sh" ] && [ "$images/tulle.base" -nt /var/lib/dpkg/status ] ||
    "$here/rootfs.sh" "$images/tulle.base" libc6 iptables
  mkdir -p "$work/tulle/usr/local/bin"
  cp "$project/dist/tulle" "$work/tulle/usr/local/bin/"
  "$here/image.sh" "$images/tulle.tar" "{\"Entrypoint\": [\"tulle\"], $environment}" "$(names tulle)" \
    "$images/tulle.base" "$work/tulle"
}

tulle_of_one_variant() { # tulle_of_one_variant NAME FILE: without the program FILE, by a layer that whites it out
  mkdir -p "$work/$1/usr/sbin"
  : >"$work/$1/usr/sbin/.wh.$2"
  tar -C "$work" -xf "$images/tulle.tar" --wildcards '*.tar'
  "$here/image.sh" "$images/$1.tar" "{\"Entrypoint\": [\"tulle\"], $environment}" "$(names "$1")" \
    "$work"/layer0.tar "$work"/layer1.tar "$work/$1"
}

nginx_program() { # nginx_program DIR: fetched, not installed: the package would start a server on this machine
  local fetched=$work/fetched
  mkdir -p "$fetched"
  (cd "$fetched" && apt-get download -q nginx >"$progress_file" 2>&1 && dpkg -x nginx_*.deb "$1") ||
    die "apt-get download nginx failed: $(tail -n 1 "$progress_file")"
}

tulle-test-apps_image() {
  local layer=$work/apps
  [ -x "$bun" ] || die "Bun is missing: make setup"
  mkdir -p "$layer/usr/local/bin" "$layer/usr/local/lib"
  "$bun" build --target=bun "$here/apps/app.ts" --outfile "$layer/usr/local/lib/app.js" >"$progress_file" 2>&1 ||
    die "the test applications do not build: $(cat "$progress_file")"
  cp "$(realpath "$bun")" "$layer/usr/local/bin/bun"
  nginx_program "$layer"
  # nginx finds its libraries among those of this machine's packages.
  "$here/rootfs.sh" "$work/apps.tar" "${debian_packages[@]}" libcrypt1 libpcre2-8-0 libssl3 zlib1g
  "$here/image.sh" "$images/tulle-test-apps.tar" \
    "{\"Entrypoint\": [\"bun\", \"/usr/local/lib/app.js\"], $environment}" "$(names tulle-test-apps)" "$work/apps.tar" "$layer"
}

[ $# -gt 0 ] || set -- pause coredns busybox debian
for image in "$@"; do
  case $image in
    pause | coredns) sources=("$bin/$image") recipe=(program_image "$image") ;;
    busybox | debian) sources=(/var/lib/dpkg/status) recipe=("${image}_image") ;;
    tulle) sources=("$project/dist/tulle" /var/lib/dpkg/status) recipe=(tulle_image) ;;
    tulle-nft) sources=("$images/tulle.tar") recipe=(tulle_of_one_variant tulle-nft xtables-legacy-multi) ;;
    tulle-legacy) sources=("$images/tulle.tar") recipe=(tulle_of_one_variant tulle-legacy xtables-nft-multi) ;;
    tulle-test-apps) sources=("$here/apps/app.ts" "$bun" /var/lib/dpkg/status) recipe=(tulle-test-apps_image) ;;
    *) die "no recipe for the image $image; image.sh makes one of any folder" ;;
  esac
  fresh "$image" "${sources[@]}" && continue
  progress "making the image $image" "${recipe[@]}"
  say "made the image $image ($(du -m "$images/$image.tar" | cut -f1) MB)"
done
