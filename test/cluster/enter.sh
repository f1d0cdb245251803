#!/usr/bin/env bash
# enter.sh [COMMAND…]: runs a command inside the node, a shell unless told: its processes, mounts, network, rules.
#   enter.sh nft list ruleset
#   enter.sh ctr -n k8s.io containers ls
set -euo pipefail
. "$(dirname "$0")/lib.sh"
node_pid >/dev/null || die "no cluster runs: make cluster-up"
[ $# -gt 0 ] || set -- bash
in_node "$@"
