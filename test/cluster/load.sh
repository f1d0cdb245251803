#!/usr/bin/env bash
# load.sh IMAGE…: loads images of .cache/cluster/images, or archives by their path, into the running cluster's containerd.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
[ $# -gt 0 ] || die "usage: load.sh IMAGE…"
[ -z "${KUBECONFIG:-}" ] || { say "KUBECONFIG is set: bring $* into that cluster yourself" && exit 0; }
node_pid >/dev/null || die "no cluster runs: make cluster-up"
for image in "$@"; do
  [ -f "$image" ] || image=$images/$image.tar
  [ -f "$image" ] || die "there is no $image: images.sh makes it"
  in_node ctr --namespace k8s.io images import - <"$image" >>"$logs/images.log" 2>&1 || die "$image could not be loaded: $logs/images.log"
done
