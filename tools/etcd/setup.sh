#!/usr/bin/env bash
# Puts the etcd that the tests run against into a folder, and says which it is: `etcd` and
# `etcdctl` there link to what is to be used.
#
# The pinned release (go.mod) is built from its Go module where Go is installed. Else, or where
# that fails, the system's package serves. Nothing is done where the pinned release is there.
set -euo pipefail

folder=$(mkdir -p "$1" && cd "$1" && pwd)
cd "$(dirname "${BASH_SOURCE[0]}")"
version=$(awk '$1 == "require" && $2 == "go.etcd.io/etcd/server/v3" { print substr($3, 2) }' go.mod)

use() {
    ln -sfn "$1" "$folder/etcd"
    if [ -n "$2" ]; then
        ln -sfn "$2" "$folder/etcdctl"
    fi
}

# Built beside their place and moved there, so that a build that is cut off leaves nothing that
# looks complete.
build() {
    local flags=(-buildvcs=false -trimpath -ldflags "-s -w")
    go build "${flags[@]}" -o "$folder/etcdctl.part" go.etcd.io/etcd/etcdctl/v3 &&
        go build "${flags[@]}" -o "$folder/etcd.part" . &&
        mv "$folder/etcdctl.part" "$folder/etcdctl-$version" &&
        mv "$folder/etcd.part" "$folder/etcd-$version"
}

install_package() {
    local root=()
    if [ "$(id -u)" -ne 0 ]; then
        root=(sudo -n)
    fi
    # A list of packages that is out of date is brought up to date only when it has to be.
    "${root[@]}" apt-get install -y --no-install-recommends etcd-server etcd-client ||
        { "${root[@]}" apt-get update &&
            "${root[@]}" apt-get install -y --no-install-recommends etcd-server etcd-client; }
}

if [ -x "$folder/etcd-$version" ] && [ -x "$folder/etcdctl-$version" ]; then
    use "etcd-$version" "etcdctl-$version"
elif command -v go >/dev/null && echo "building etcd $version (takes a minute or two)" && build; then
    use "etcd-$version" "etcdctl-$version"
else
    echo "etcd $version cannot be built here (it needs Go): the system's package serves" >&2
    if ! { command -v etcd && command -v etcdctl; } >/dev/null; then
        install_package || true
    fi
    if ! command -v etcd >/dev/null; then
        echo "no etcd: install Go or the system's etcd (etcd-server, etcd-client), or set ACTORGRID_ETCD" >&2
        exit 1
    fi
    if ! command -v etcdctl >/dev/null; then
        echo "no etcdctl: the tests that need it will fail (install etcd-client)" >&2
    fi
    use "$(command -v etcd)" "$(command -v etcdctl || true)"
fi

echo "tests use etcd $("$folder/etcd" --version | awk '/^etcd Version/ { print $3 }') ($(readlink -f "$folder/etcd"))"
