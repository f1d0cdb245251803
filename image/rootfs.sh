#!/usr/bin/env bash
# rootfs.sh DIR: lays the image's root file system without tulle into the new folder DIR, from the files of the Debian system
# that this runs on: the programs of programs.list, iptables' extensions, the shared libraries of these, users. No shell, no
# package manager. Of each Debian package of which something is taken, its copyright goes along, and its entry in
# /var/lib/dpkg/status.d, where scanners look it up. The Dockerfile and scripts/image.sh both call it.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
[ $# = 1 ] && [ ! -e "$1" ] || { echo "usage: rootfs.sh DIR, which must not exist" >&2; exit 2; }
mkdir -p "$1"
root=$(cd "$1" && pwd)
multiarch=$(dpkg-query -W -f '${Architecture}' libc6)
case $multiarch in
  amd64) triplet=x86_64-linux-gnu ;;
  arm64) triplet=aarch64-linux-gnu ;;
  *) echo "rootfs.sh: no image for $multiarch: amd64 and arm64 only" >&2; exit 1 ;;
esac
for file in /usr/sbin/xtables-nft-multi /usr/sbin/xtables-legacy-multi; do
  [ -x "$file" ] || { echo "rootfs.sh: $file is missing: apt-get install iptables" >&2; exit 1; }
done

umask 022
mkdir -p "$root"/{dev,etc,proc,run,sys,tmp,usr/{bin,lib,lib64,local/bin,sbin},var/{lib/dpkg/status.d,tmp}}
chmod 1777 "$root/tmp" "$root/var/tmp"
for name in bin lib lib64 sbin; do ln -s "usr/$name" "$root/$name"; done
ln -s ../run "$root/var/run"

taken=()
take() { # take FILE: a file under its own path, links on the way followed
  local from to
  from=$(realpath "$1")
  case $1 in /bin/* | /lib/* | /lib64/* | /sbin/*) to=/usr$1 ;; *) to=$1 ;; esac
  [ ! -e "$root$to" ] || return 0
  mkdir -p "$root$(dirname "$to")"
  install -m "$([ -x "$from" ] && echo 755 || echo 644)" "$from" "$root$to"
  taken+=("$from")
}

while read -r path file; do
  case $path in '' | '#'*) continue ;; esac
  take "/usr/sbin/$file"
  ln -s "$file" "$root$path"
done <"$here/programs.list"
# libarpt_* and libebt_* belong to arptables and ebtables.
extensions=("/usr/lib/$triplet/xtables"/lib{xt,ip}*.so)
mkdir -p "$root/usr/lib/$triplet/xtables"
cp -L "${extensions[@]}" "$root/usr/lib/$triplet/xtables/"
chmod 644 "$root/usr/lib/$triplet/xtables"/*.so
# The compiled tulle needs the C library's own (libm, libdl, libpthread); iptables and its extensions the others.
while read -r library; do take "$library"; done < <(
  { ldd /usr/sbin/xtables-*-multi "${extensions[@]}" | sed -nE 's/^\s+(.* => )?(\/[^ ]+) \(.*/\2/p'
    printf '%s\n' "/lib/$triplet"/lib{m.so.6,dl.so.2,pthread.so.0}; } | sort -u
)

# dpkg knows some files by their path before /lib became /usr/lib.
packages=$(dpkg-query -S "${taken[@]}" "${taken[@]#/usr}" 2>/dev/null | sed -E 's/(:[a-z0-9]+)?: .*//' | sort -u) || true
for package in $packages; do
  dpkg-query -s "$package" | sed -n '/^Description/q;p' >"$root/var/lib/dpkg/status.d/$package"
  copyright=/usr/share/doc/$package/copyright
  [ ! -e "$copyright" ] || { mkdir -p "$root${copyright%/*}" && install -m 644 "$(realpath "$copyright")" "$root$copyright"; }
done

install -m 644 /etc/os-release "$root/etc/os-release"
printf '%s\n' root:x:0:0:root:/:/usr/sbin/nologin tulle-proxy:x:1337:1337:tulle-proxy:/:/usr/sbin/nologin \
  tulle:x:65532:65532:tulle:/:/usr/sbin/nologin nobody:x:65534:65534:nobody:/:/usr/sbin/nologin >"$root/etc/passwd"
printf '%s\n' root:x:0: tulle-proxy:x:1337: tulle:x:65532: nogroup:x:65534: >"$root/etc/group"
echo 'hosts: files dns' >"$root/etc/nsswitch.conf"
