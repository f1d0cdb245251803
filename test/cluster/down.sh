#!/usr/bin/env bash
# Ends the cluster and takes back all that it put on the machine; programs, images and logs stay in .cache/cluster. Does
# nothing when there is none. --locked: for up.sh, which holds the lock.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
[ -d "$state" ] || exit 0
need_root cluster-down
[ "${1:-}" = --locked ] || lock "$home/lock"

# until_so COMMAND…: within ten seconds
until_so() {
  local deadline=$((SECONDS + 10))
  until "$@"; do
    [ "$SECONDS" -lt "$deadline" ] || return 1
    sleep 0.02
  done
}

# Process 1 takes all others of its pid namespace with it, and with the last process go mounts and network.
gone() { ! node_pid >/dev/null; }
if pid=$(node_pid); then
  kill -KILL "$pid"
  until_so gone || die "the node does not end (pid $pid)"
fi

if [ -f "$state/conf/settings" ]; then
  . "$state/conf/settings"
  ip link del "$link" 2>/dev/null || true # else the kernel does it, a moment later
  no_cgroups() {
    local group left=0
    for group in /sys/fs/cgroup/"$cgroup" /sys/fs/cgroup/*/"$cgroup"; do
      [ ! -d "$group" ] || find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || left=1
    done
    return $left
  }
  until_so no_cgroups || die "processes are left in the cgroup $cgroup"
fi
rm -rf "$state"
[ "${1:-}" = --locked ] || say "is down"
