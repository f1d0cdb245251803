# Sourced by every script here: where things lie, how they speak, how they are told apart from another cluster's.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
project=$(cd "$here/../.." && pwd)
cache=$project/.cache/cluster
bin=$cache/bin       # programs, by build.sh
images=$cache/images # container images, by images.sh
# One cluster unless told: a second one beside it has a name and a home of its own.
home=$cache/${TULLE_CLUSTER:-main}
state=$home/state # everything of the running cluster
logs=$home/logs   # a file a component, of the running or the last cluster

say() { printf 'cluster: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

lock() { # lock FILE: held until this script and its background jobs end
  mkdir -p "$(dirname "$1")"
  exec 9>"$1"
  flock -n 9 || { say "waiting for another make cluster-… to end" && flock 9; }
}
need_root() { [ "$(id -u)" = 0 ] || die "the cluster needs root: sudo make $1"; }

# progress TITLE FUNCTION…: runs it in the background and, once it takes longer than two seconds, says for how long; with
# the last line that it wrote to $progress_file, if it has one. Ends with its status.
progress() {
  local title=$1 started=$SECONDS every=10 note job
  shift
  progress_file=$(mktemp)
  "$@" &
  job=$!
  # Whoever interrupts us means the job too.
  trap 'kill "$job" 2>/dev/null' INT TERM
  [ -t 2 ] && every=1
  while kill -0 "$job" 2>/dev/null; do
    sleep 0.2
    [ $((SECONDS - started)) -ge 2 ] && [ "$SECONDS" != "${shown:-}" ] && [ $(((SECONDS - started - 2) % every)) = 0 ] || continue
    shown=$SECONDS
    note=$(tail -n 1 "$progress_file")
    if [ -t 2 ]; then
      printf '\r\033[Kcluster: %s: %s s %s' "$title" $((SECONDS - started)) "$note" >&2
    else
      say "$title: $((SECONDS - started)) s $note"
    fi
  done
  [ ! -t 2 ] || [ -z "${shown:-}" ] || printf '\r\033[K' >&2
  unset shown
  trap - INT TERM
  rm -f "$progress_file"
  wait "$job"
}

# The node is one process tree in namespaces of its own; its first process is known by pid and start time, so that a pid
# which the kernel has given to someone else is never signalled.
start_time() { # start_time PID: in the kernel's ticks; fails for what is gone or a zombie
  local stat
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
  read -ra stat <<<"${stat##*) }"
  [ "${stat[0]}" != Z ] && echo "${stat[19]}"
}
node_pid() { # prints the pid of the running node's first process; fails when there is none
  local pid started
  read -r pid started 2>/dev/null <"$state/node.pid" || return 1
  [ "$(start_time "$pid")" = "$started" ] && echo "$pid"
}
in_node() { # in_node COMMAND…: runs it where the node's processes run
  nsenter --target "$(node_pid)" --mount --uts --ipc --net --pid --wd=/ -- \
    env PATH=/run/cluster/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
}

# Names and addresses. Several clusters (of several checkouts) can run beside each other: what they have on the machine
# bears a name made of their home, and each takes addresses of a number that is free.
settings() { # settings NUMBER
  number=$1
  local id
  id=$(printf %s "$home" | sha256sum | cut -c 1-8)
  link=tullec$id # this machine's end of the cable to the node
  cgroup=tulle-cluster-$id
  host_ip=172.30.$number.1 node_ip=172.30.$number.2 pods=10.230.$number.0/24
  services=10.231.$number.0/24 api_ip=10.231.$number.1 dns_ip=10.231.$number.10
  # fd74:756c:6c65 is "tulle" in ASCII, a prefix for private use (RFC 4193), with sixteen networks for each cluster.
  host_ip6=$(network6 0)1 node_ip6=$(network6 0)2 pods6=$(network6 1)/64
  services6=$(network6 2)/112 dns_ip6=$(network6 2)10
}
network6() { printf 'fd74:756c:6c65:%x::' $((number * 16 + $1)); }
