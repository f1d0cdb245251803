#!/usr/bin/env bash
# Starts a real Kubernetes of one node on this machine and prints its kubeconfig's path. What runs already stays; what is
# missing is installed and built first. A start that fails leaves nothing behind but its logs.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

if [ -n "${KUBECONFIG:-}" ]; then
  say "KUBECONFIG is set: that cluster is used, nothing is started"
  echo "$KUBECONFIG"
  exit 0
fi
need_root cluster-up
lock "$home/lock"

kubeconfig=$state/kubeconfig
if node_pid >/dev/null; then
  [ -f "$state/up" ] && "$bin/kubectl" --kubeconfig "$kubeconfig" get --raw /readyz >/dev/null 2>&1 ||
    die "the cluster runs, but its API server does not answer: make cluster-down, then again"
  say "is up already"
  echo "$kubeconfig"
  exit 0
fi
"$here/deps.sh" 9>&-
"$here/build.sh" 9>&-
"$here/images.sh" 9>&-
"$here/down.sh" --locked # what a machine that lost power left
[ "$(stat -fc %T "$cache")" != overlayfs ] || die "$cache lies on an overlay: containers need a real file system below them"

begun=$(date +%s%N)
step() { say "$(awk -v ns=$(($(date +%s%N) - begun)) 'BEGIN { printf "%4.1f s", ns / 1e9 }') $*"; }

fail() { # fail COMPONENT MESSAGE
  trap - EXIT
  [ -z "${others:-}" ] || kill "$others" 2>/dev/null || true
  [ ! -s "$logs/$1.log" ] || { say "the last lines of $logs/$1.log:" && tail -n 15 "$logs/$1.log" | cut -c 1-400 >&2; }
  [ -z "${node_job:-}" ] || kill -KILL "$node_job" 2>/dev/null || true # node.pid may not be written yet
  "$here/down.sh" --locked
  die "did not start: $2"
}
trap 'fail node "interrupted, or a command of up.sh failed"' EXIT
trap 'exit 130' INT TERM # else the shell goes on when the command that it waits for does not mind

# wait_for SECONDS COMPONENT WHAT COMMAND…: until the command succeeds; not if any component ends meanwhile
wait_for() {
  local seconds=$1 component=$2 what=$3 deadline=$((SECONDS + $1)) announce=$((SECONDS + 2)) ended
  shift 3
  until "$@" >/dev/null 2>&1; do
    read -r ended _ 2>/dev/null <"$state/run/ended" && fail "$ended" "$(head -n 1 "$state/run/ended")"
    [ ! -f "$state/node.pid" ] || node_pid >/dev/null || fail node "the node ended"
    [ "$SECONDS" -lt "$deadline" ] || fail "$component" "$what did not come within $seconds s"
    if [ "$SECONDS" -gt "$announce" ]; then
      say "       waiting for: $what"
      announce=$deadline
    fi
    sleep 0.05
  done
  step "$what"
}

# The first number whose addresses nobody here uses.
choose_number() {
  local taken
  taken=$(ip -4 -o addr && ip -4 route show table all)
  for number in {0..15}; do
    settings "$number"
    ! grep -qE "(172\.30|10\.230|10\.231)\.$number\." <<<"$taken" && return
  done
  die "no free addresses: sixteen clusters run here, or other networks use 172.30.0-15.0"
}

render() { # render FILE: with each @variable@ replaced by its value
  sed "$(for name in pods pods6 dns_ip dns_ip6 host_ip host_ip6 cgroup max_open_files; do
    printf 's|@%s@|%s|g;' "$name" "${!name}"
  done)" "$1"
}

choose_number
max_open_files=$(ulimit -Hn)
mkdir -p "$state/conf/cni" "$state/run"
rm -rf "$logs"
mkdir "$logs"
declare -p number link cgroup host_ip host_ip6 node_ip node_ip6 services services6 >"$state/conf/settings"
: >"$state/conf/resolv.conf"
render "$here/node/containerd.toml" >"$state/conf/containerd.toml"
render "$here/node/cni.conflist" >"$state/conf/cni/10-tulle.conflist"
cp "$here/node/no-dad" "$state/conf/cni/"
render "$here/node/kubelet.yaml" >"$state/conf/kubelet.yaml"
render "$here/node/kube-proxy.yaml" >"$state/conf/kube-proxy.yaml"
. "$here/pki.sh"
make_pki
mv "$state/conf/admin.kubeconfig" "$kubeconfig"
step "certificates and configuration"

TULLE_BIN=$bin TULLE_HOME=$home setsid unshare --mount --uts --ipc --net --pid --fork --kill-child --propagation private \
  bash "$here/node/init.sh" >"$logs/node.log" 2>&1 </dev/null 9>&- &
node_job=$!
disown
wait_for 5 node "namespaces" node_pid
ip link add "$link" type veth peer name eth0 netns "$(node_pid)"
ip addr add "$host_ip/30" dev "$link"
ip addr add "$host_ip6/64" dev "$link" nodad
ip link set "$link" up
for range in "$pods" "$services"; do ip route replace "$range" via "$node_ip"; done
for range in "$pods6" "$services6"; do ip -6 route replace "$range" via "$node_ip6" dev "$link"; done

kubectl() { "$bin/kubectl" --kubeconfig "$kubeconfig" "$@"; }
apply() { render "$1" | kubectl apply --server-side --force-conflicts -f - >>"$logs/manifests.log" 2>&1; }
wait_for 20 containerd "containerd" in_node ctr version
"$here/load.sh" pause coredns || fail containerd "the images pause and coredns could not be loaded"
step "images of the cluster itself"
"$here/load.sh" busybox debian 9>&- &
others=$!
wait_for 60 kube-apiserver "API server" kubectl get --raw /readyz
for manifest in "$here"/manifests/*.yaml; do apply "$manifest" || fail manifests "$manifest could not be applied"; done
wait_for 60 kubelet "node ready" kubectl wait --for=condition=Ready node/node1 --timeout=1s
wait_for 60 kubelet "name server" kubectl -n kube-system rollout status deployment/coredns --timeout=1s
wait "$others" || fail containerd "the images of test pods could not be loaded"
step "images of test pods"
trap - EXIT
touch "$state/up"
echo "$kubeconfig"
