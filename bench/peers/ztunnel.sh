#!/usr/bin/env bash
# ztunnel (Apache-2.0), the node proxy of Istio's ambient mesh, built by cargo from its source: up to an hour.
#   ztunnel.sh DIR   leaves DIR/bin/ztunnel
#   ZTUNNEL_SOURCE   its git repository, where this machine has a copy of it
# With the features that Istio ships, and `testing`, which lets it run without a control plane (FAKE_CA, LOCAL_XDS_PATH).
set -euo pipefail
source=${ZTUNNEL_SOURCE:-https://github.com/istio/ztunnel}
version=1.30.3
for need in "cargo rustup" "git git" "cmake cmake" "cc gcc" "protoc protobuf-compiler" "python3 python3"; do
  read -r program package <<<"$need"
  command -v "$program" >/dev/null || { echo "$program is missing (Debian: apt-get install $package)"; exit 1; }
done
if [ ! -d "$source" ]; then
  clone=$1/ztunnel.git
  rm -rf "$clone"
  GIT_TERMINAL_PROMPT=0 git clone -q --bare --depth 1 --branch "$version" "$source" "$clone" || {
    echo "its source cannot be had from $source; ZTUNNEL_SOURCE can name another git repository"
    exit 1
  }
  source=$clone
fi
tree=$1/ztunnel
rm -rf "$tree"
mkdir "$tree"
# vendor/ holds prebuilt archives of another TLS library.
git -C "$source" archive "$version" . ':(exclude)vendor' | tar -x -C "$tree"
cd "$tree"
# An optional dependency comes from git: cut out, so that the package registry is enough. cargo would look it up even unused.
python3 - <<'PY'
import re
manifest = open("Cargo.toml").read()
manifest = re.sub(r"(?m)^boring-rustls-provider = .*\n", "", manifest)
manifest = re.sub(r"(?m)^tls-boring = .*$", 'tls-boring = ["dep:boring", "dep:boring-sys"]', manifest)
open("Cargo.toml", "w").write(manifest)
gone = {"boring-additions", "boring-rustls-provider", "boring-sys-additions"}
head, *packages = open("Cargo.lock").read().split("\n[[package]]\n")
kept = [one for one in packages if re.match(r'name = "([^"]+)"', one).group(1) not in gone]
lock = "\n[[package]]\n".join([head, *kept])
for name in gone:
    lock = lock.replace(f' "{name}",\n', "")
open("Cargo.lock", "w").write(lock)
PY
sed -i '/BORING_BSSL/d' .cargo/config.toml
# Not --locked, since cargo drops what only the cut dependency needed. VERSION: without a git folder its script cannot ask git.
VERSION=$version nice -n 19 cargo build --release --no-default-features --features tls-aws-lc,jemalloc,testing --bin ztunnel
install -m 755 out/rust/release/ztunnel "$1/bin/ztunnel"
cd "$1"
rm -rf "$tree" "$1/ztunnel.git"
