#!/usr/bin/env bash
# Builds Helm, the outside judge of the chart, into .cache/helm, with Go from the pinned module; prints its path. Minutes the
# first time. Only the tests use it.
set -euo pipefail
cd "$(dirname "$0")/.."
version=v3.22.0
helm=$PWD/.cache/helm/helm
if [ ! -x "$helm" ] || ! "$helm" version --short 2>/dev/null | grep -q "^$version"; then
  command -v go >/dev/null || { echo "helm: Go is missing (Debian: apt-get install golang), it builds Helm for make chart-check" >&2; exit 1; }
  mkdir -p .cache
  echo "helm: building $version, some minutes" >&2
  # The binary is stamped as Helm's own makefile does; without it Helm takes the cluster for Kubernetes 1.20.
  flags="-X helm.sh/helm/v3/internal/version.version=$version"
  for package in pkg/lint/rules pkg/chartutil; do
    flags+=" -X helm.sh/helm/v3/$package.k8sVersionMajor=1 -X helm.sh/helm/v3/$package.k8sVersionMinor=34"
  done
  GOBIN=$PWD/.cache/helm go install -ldflags "$flags" "helm.sh/helm/v3/cmd/helm@$version" >"$PWD/.cache/helm.log" 2>&1 ||
    { tail -5 "$PWD/.cache/helm.log" >&2; exit 1; }
fi
echo "$helm"
