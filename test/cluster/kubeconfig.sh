#!/usr/bin/env bash
# Which cluster? Prints the kubeconfig's path: the user's KUBECONFIG if that is set, else that of the cluster which
# `make cluster-up` has started. Fails when there is none.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
if [ -n "${KUBECONFIG:-}" ]; then
  echo "$KUBECONFIG"
elif node_pid >/dev/null && [ -f "$state/up" ]; then
  echo "$state/kubeconfig"
else
  die "there is no cluster: make cluster-up, or set KUBECONFIG to the one to use"
fi
