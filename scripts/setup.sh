#!/usr/bin/env bash
# Installs what a fresh Debian or Ubuntu with Node, npm and make lacks: npm packages always, Debian packages where we are
# root. Only what is missing, and says what it does. Safe to run again: does nothing when all is there.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'setup: %s\n' "$*"; }

for tool in node npm; do
  command -v "$tool" >/dev/null || {
    echo "setup: $tool is missing. Install Node.js 20 or newer with npm (Debian: apt-get install nodejs npm)." >&2
    exit 1
  }
done

stamp=node_modules/.setup-stamp
if [ ! -f "$stamp" ] || [ package-lock.json -nt "$stamp" ] || [ package.json -nt "$stamp" ]; then
  say "npm packages (pinned in package-lock.json)"
  # bun's own installer complains of packages that it then does without: shown only when bun does not run afterwards.
  said=$(mktemp)
  trap 'rm -f "$said"' EXIT
  npm ci --no-fund --no-audit --loglevel=error >"$said" 2>&1 || {
    cat "$said" >&2
    exit 1
  }
  [ "$(node_modules/.bin/bun --version)" = "$(node -p "require('./package.json').devDependencies.bun")" ] || {
    cat "$said" >&2
    echo "setup: bun does not run, or is not the pinned version. Remove node_modules and try again." >&2
    exit 1
  }
  touch "$stamp"
fi

# program that must be there → Debian package that has it
needs=(
  "ip iproute2" "iptables-nft iptables" "tcpdump tcpdump" "crun crun" "slirp4netns slirp4netns"
  "unshare util-linux" "nsenter util-linux" "setpriv util-linux" "curl curl" "openssl openssl" "ping iputils-ping"
)
missing=()
for need in "${needs[@]}"; do
  read -r program package <<<"$need"
  PATH="$PATH:/usr/sbin:/sbin" command -v "$program" >/dev/null || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
  mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)
  if [ "$(id -u)" != 0 ]; then
    echo "setup: missing: ${missing[*]}. They are needed for 'make demo' and 'make test'; install them as root:" >&2
    echo "  apt-get install ${missing[*]}" >&2
    exit 0
  fi
  command -v apt-get >/dev/null || {
    echo "setup: missing: ${missing[*]}, and this is no Debian or Ubuntu. Install them with your package manager." >&2
    exit 1
  }
  say "Debian packages: ${missing[*]}"
  log=$(mktemp)
  export DEBIAN_FRONTEND=noninteractive
  if ! { apt-get update -q && apt-get install -y -q --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    rm -f "$log"
    echo "setup: apt-get could not install ${missing[*]} (its last lines are above)." >&2
    exit 1
  fi
  rm -f "$log"
fi
