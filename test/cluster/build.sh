#!/usr/bin/env bash
# Builds the cluster's programs from pinned Go modules (programs/go.mod) into .cache/cluster/bin: `kube`, which is etcd,
# kubectl and all of Kubernetes in one file, told apart by the name it is called with; coredns; pause. What was built from
# the same sources stays. The first build takes minutes and about 4 GB of Go's build cache, at low priority.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

go_missing="Go 1.21 or newer is missing (it fetches the newer toolchain that Kubernetes asks for by itself).
  Debian 13: apt-get install golang-go; elsewhere: https://go.dev/doc/install"
PATH=$PATH:/usr/local/go/bin # which sudo takes out
command -v go >/dev/null || die "$go_missing"
case $(cd / && GOTOOLCHAIN=local go env GOVERSION) in
  go1.?|go1.?.*|go1.1?|go1.1?.*|go1.20|go1.20.*) die "$go_missing" ;;
esac

export CGO_ENABLED=0
# GOFLAGS hides that of `go env`; the version control stamp would make a new binary of every commit of this project.
export GOFLAGS="${GOFLAGS:-} -trimpath -buildvcs=false -mod=readonly"

# compile PROGRAM LINKER-FLAGS
compile() {
  local total log
  log=$(mktemp)
  total=$(nice -n 19 go list -deps "./$1" 2> >(tee "$log" >"$progress_file") | wc -l) ||
    { tail -n 20 "$log" >&2; return 1; }
  # -v names each package when it is compiled: what comes from Go's cache is not named.
  nice -n 19 go build -v -tags grpcnotrace -ldflags "-s -w $2" -o "$bin/$1.new" "./$1" 2> >(
    awk -v total="$total" -v file="$progress_file" -v log_file="$log" \
      '{ print >log_file; printf "(%d packages compiled, of at most %d)\n", NR, total >file; close(file); fflush() }'
  ) || { sleep 0.2; tail -n 20 "$log" >&2; rm -f "$log"; return 1; }
  rm -f "$log"
  mv "$bin/$1.new" "$bin/$1"
}

version_flags() { # the version that Kubernetes's own build scripts stamp
  local version minor package
  version=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
  minor=${version#v1.}
  for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    printf ' -X %s.%s' "$package" "gitVersion=$version" "$package" gitMajor=1 "$package" "gitMinor=${minor%%.*}" \
      "$package" gitTreeState=clean "$package" gitCommit=module "$package" buildDate=1970-01-01T00:00:00Z
  done
}

mkdir -p "$bin"
lock "$cache/build.lock"
cd "$here/programs"
for program in kube coredns pause; do
  sources=$(cat go.mod go.sum "$program"/*.go "$here/build.sh" | sha256sum)
  [ ! -x "$bin/$program" ] || [ "$sources" != "$(cat "$bin/$program.sources" 2>/dev/null)" ] || continue
  started=$SECONDS
  case $program in
    kube) say "building Kubernetes, etcd and kubectl; the first time takes minutes" && flags=$(version_flags) ;;
    *) flags= ;;
  esac
  progress "building $program" compile "$program" "$flags" || die "$program could not be built"
  echo "$sources" >"$bin/$program.sources"
  say "built $program ($(du -m "$bin/$program" | cut -f1) MB, $((SECONDS - started)) s)"
done
for name in etcd kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl; do
  ln -sfn kube "$bin/$name"
done
