#!/usr/bin/env bash
# rootfs.sh OUT.tar PACKAGE…: makes a root file system of Debian packages that this machine has installed, with all that
# they depend on: no registry, no mirror, no root file system of someone else. Files are the machine's own, so a program in
# a pod is the very one that runs outside. No documentation, no maintainer scripts, users of its own.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
[ $# -ge 2 ] || die "usage: rootfs.sh OUT.tar PACKAGE…"
out=$(realpath "$1")
shift
work=$(mktemp -d -p "$(dirname "$out")")
trap 'rm -rf "$work"' EXIT

# Names that packages go by (their own and what they provide), and what each depends on: `a,b|c`.
declare -A package_of depends chosen
while IFS=';' read -r package provides needs; do
  depends[$package]=$needs
  package_of[$package]=$package
  for name in ${provides//,/ }; do : "${package_of[$name]:=$package}"; done
done < <(dpkg-query -W -f '${db:Status-Abbrev}${Package};${Provides};${Pre-Depends},${Depends}\n' |
  sed -nE 's/^ii //; T; s/\([^)]*\)|:any| //g; p')

choose() { # choose PACKAGE: it and what it depends on; of alternatives the first that is installed
  local package=${package_of[$1]} alternatives name
  [ -z "${chosen[$package]:-}" ] || return 0
  chosen[$package]=1
  for alternatives in ${depends[$package]//,/ }; do
    for name in ${alternatives//|/ }; do
      if [ -n "${package_of[$name]:-}" ]; then choose "$name" && break; fi
    done
  done
}
for package in "$@"; do
  [ -n "${package_of[$package]:-}" ] || die "the package $package is not installed"
  choose "$package"
done

# Debian's /bin, /sbin and /lib* are links into /usr, which packages of older habits do not know.
dpkg-query -L "${!chosen[@]}" |
  grep -vE '^(package |/\.$|/usr/share/(doc|doc-base|man|info|locale|lintian|bug|bash-completion|zsh|gcc|gdb)/)' |
  sed -E 's#^/(bin|sbin|lib|lib32|lib64|libx32)(/|$)#/usr/\1\2#' | sort -u |
  while read -r file; do if [ -L "$file" ] || [ -f "$file" ]; then printf '%s\n' "${file#/}"; fi; done >"$work/files"
# update-alternatives' links belong to no package: /usr/sbin/iptables → /etc/alternatives/iptables → …
find /usr/bin /usr/sbin -lname '/etc/alternatives/*' -printf '%p\n' >"$work/alternatives"
paste "$work/alternatives" <(xargs readlink <"$work/alternatives") <(xargs realpath -m <"$work/alternatives") |
  awk -F '\t' 'NR == FNR { have["/" $0]; next } $3 in have { print substr($1, 2); print substr($2, 2) }' \
    "$work/files" - >"$work/links"

root=$work/root
mkdir -p "$root"/{dev,etc,proc,root,run,sys,tmp,usr/{bin,sbin,lib,lib64},var/{lib,log,tmp}}
chmod 1777 "$root/tmp" "$root/var/tmp"
for name in bin sbin lib lib64; do ln -s "usr/$name" "$root/$name"; done
ln -s ../run "$root/var/run"
capabilities=(--xattrs --xattrs-include=security.capability)
tar -C / "${capabilities[@]}" --no-recursion -cf - -T "$work/files" -T "$work/links" | tar -C "$root" "${capabilities[@]}" -xf -
printf '%s\n' root:x:0:0:root:/root:/bin/sh nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin >"$root/etc/passwd"
printf '%s\n' root:x:0: nogroup:x:65534: >"$root/etc/group"
echo 'hosts: files dns' >"$root/etc/nsswitch.conf"
ldconfig -r "$root"
tar -C "$root" "${capabilities[@]}" --sort=name --numeric-owner --mtime=@0 -cf "$out" .
