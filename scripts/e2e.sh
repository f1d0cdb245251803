#!/usr/bin/env bash
# What `make e2e` runs: test/e2e, then the mesh on a real cluster: up, images, install, the scenarios of test/cluster-e2e, down.
# The last line sums them up.
#   SCENARIO=05       that scenario alone (its number, or `e2e` for test/e2e)
#   KEEP=1            leaves mesh and cluster where they are
#   KUBECONFIG=FILE   uses that cluster, into which you have brought the images tulle and tulle-test-apps (TULLE_IMAGE,
#                     TULLE_TEST_APPS_IMAGE)
# A cluster that was already up is used and left up; a mesh that was already installed is installed anew.
set -uo pipefail
cd "$(dirname "$0")/.."
bun=node_modules/.bin/bun
scenario=${SCENARIO:-}
log=$(mktemp)
started=

say() { printf 'e2e: %s\n' "$*" >&2; }

down() { # quietly, for the sum is the last line
  trap - EXIT INT TERM
  if [ -z "${KEEP:-}" ] && test/cluster/kubeconfig.sh >/dev/null 2>&1; then
    if [ -n "$started" ]; then
      test/cluster/down.sh >"$log.down" 2>&1 || { cat "$log.down"; echo "0 passed, 1 failed" >>"$log"; }
    else
      "$bun" test/support/install.ts down >"$log.down" 2>&1 || { cat "$log.down"; echo "0 passed, 1 failed" >>"$log"; }
    fi
  fi
  awk '/^[0-9]+ passed, [0-9]+ failed$/ { p += $1; f += $3 }
    END { printf "\n%d passed, %d failed\n", p, f; exit f > 0 || p == 0 }' "$log"
  local status=$?
  rm -f "$log" "$log.down"
  exit "$status"
}
trap down EXIT
trap 'echo "0 passed, 1 failed" >>"$log"; exit 130' INT TERM

tests() { "$bun" scripts/test.ts "$@" 2>&1 | tee -a "$log" | grep --line-buffered -vE '^[0-9]+ passed, [0-9]+ failed$'; }
must() { "$@" && return; say "failed: $*"; echo "0 passed, 1 failed" >>"$log"; exit 1; }

case $scenario in '' | e2e) tests test/e2e ;; esac
[ "$scenario" != e2e ] || exit
shopt -s nullglob
files=(test/cluster-e2e/"$scenario"*.test.ts)
[ ${#files[@]} -gt 0 ] || { say "no scenario is called $scenario: ls test/cluster-e2e"; must false; }
rm -rf artefacts

test/cluster/kubeconfig.sh >/dev/null 2>&1 || started=1
must test/cluster/up.sh >/dev/null
if [ -z "${KUBECONFIG:-}" ]; then
  must test/cluster/images.sh tulle tulle-test-apps
  must test/cluster/load.sh tulle tulle-test-apps
fi
say "installing"
must "$bun" test/support/install.ts up
for file in "${files[@]}"; do tests "$file"; done
