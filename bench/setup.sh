#!/usr/bin/env bash
# Installs the Debian packages that the benchmarks need and that are missing; says what it does. The packages would start
# nginx and HAProxy as services of the machine: they are kept from that.
#   setup.sh quick   what `make bench-quick` needs
#   setup.sh all     what `make bench` needs
set -euo pipefail
[ "$(id -u)" = 0 ] || { echo "bench: it makes network namespaces: run it as root (sudo make …)" >&2; exit 1; }

# program that must be there → Debian package that has it
needs=("nginx nginx" "wrk wrk" "curl curl" "ss iproute2" "iptables iptables" "sysctl procps" "setpriv util-linux")
[ "${1:-}" != all ] || needs+=("haproxy haproxy")
missing=()
for need in "${needs[@]}"; do
  read -r program package <<<"$need"
  PATH="$PATH:/usr/sbin:/sbin" command -v "$program" >/dev/null || missing+=("$package")
done
[ -e /usr/lib/nginx/modules/ngx_stream_module.so ] || missing+=(libnginx-mod-stream)
[ ${#missing[@]} -gt 0 ] || exit 0

mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)
command -v apt-get >/dev/null || {
  echo "bench: missing: ${missing[*]}, and this is no Debian or Ubuntu. Install them with your package manager." >&2
  exit 1
}
echo "bench: Debian packages: ${missing[*]}" >&2
log=$(mktemp)
policy=/usr/sbin/policy-rc.d
trap 'rm -f "$log"; [ -z "${made:-}" ] || rm -f "$policy"' EXIT
if [ ! -e "$policy" ]; then
  # What Debian asks before it starts a service: 101 means that it is not allowed.
  made=$policy
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
if ! { apt-get update -q && apt-get install -y -q --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
  tail -n 20 "$log" >&2
  echo "bench: apt-get could not install ${missing[*]} (its last lines are above)." >&2
  exit 1
fi
