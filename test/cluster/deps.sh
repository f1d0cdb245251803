#!/usr/bin/env bash
# Installs the Debian packages that the cluster takes from the machine: container runtime, network plugins, rules. Only
# what is missing, and says what it does. Go is not among them: build.sh says how to get it.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

# program or folder that must be there → Debian package that has it
needs=(
  "containerd containerd" "runc runc" "/usr/lib/cni containernetworking-plugins" "busybox busybox-static"
  "nft nftables" "iptables-nft iptables" "ip iproute2" "openssl openssl" "curl curl" "jq jq" "unshare util-linux"
)
missing=()
for need in "${needs[@]}"; do
  read -r thing package <<<"$need"
  [ -e "$thing" ] || PATH=$PATH:/usr/sbin:/sbin command -v "$thing" >/dev/null || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

command -v apt-get >/dev/null || die "missing: ${missing[*]}, and this is no Debian or Ubuntu. Install them yourself."
need_root cluster-up
say "installing Debian packages: ${missing[*]}"
log=$(mktemp)
export DEBIAN_FRONTEND=noninteractive
install() { { apt-get update -q && apt-get install -y -q --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; }
if ! progress "installing" install; then
  tail -n 20 "$log" >&2
  rm -f "$log"
  die "apt-get could not install ${missing[*]} (its last lines are above)"
fi
rm -f "$log"
