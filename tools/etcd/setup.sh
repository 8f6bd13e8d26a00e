#!/usr/bin/env bash
# Puts the etcd that the tests run against into a folder: `etcd` and `etcdctl` there link to what is
# to be used. Says on stderr which it is, and its path on stdout.
#
#   setup.sh FOLDER             the pinned release (go.mod)
#   setup.sh FOLDER go-3.7.mod  another release, which nothing links to
#   setup.sh FOLDER system      the system's package, which nothing links to
#
# A release is built from its Go module where Go is installed. For the pinned one the system's
# package serves where Go is not, or where that fails. What is there is not built again.
set -euo pipefail

folder=$(mkdir -p "$1" && cd "$1" && pwd)
which=${2:-go.mod}
cd "$(dirname "${BASH_SOURCE[0]}")"

tell() {
    echo "tests use etcd $("$1" --version | awk '/^etcd Version/ { print $3 }') ($(readlink -f "$1"))" >&2
    echo "$1"
}

use() {
    ln -sfn "$1" "$folder/etcd"
    if [ -n "$2" ]; then
        ln -sfn "$2" "$folder/etcdctl"
    fi
}

version() {
    awk '$1 == "require" && $2 == "go.etcd.io/etcd/server/v3" { print substr($3, 2) }' "$1"
}

# Built beside their place and moved there, so that a build that is cut off leaves nothing that
# looks complete.
build() {
    local flags=(-modfile="$1" -buildvcs=false -trimpath -ldflags "-s -w") version
    version=$(version "$1")
    if [ -x "$folder/etcd-$version" ] && [ -x "$folder/etcdctl-$version" ]; then
        return
    fi
    command -v go >/dev/null || return
    echo "building etcd $version (takes a minute or two)" >&2
    go build "${flags[@]}" -o "$folder/etcdctl.part" go.etcd.io/etcd/etcdctl/v3 >&2 &&
        go build "${flags[@]}" -o "$folder/etcd.part" . >&2 &&
        mv "$folder/etcdctl.part" "$folder/etcdctl-$version" &&
        mv "$folder/etcd.part" "$folder/etcd-$version"
}

install_package() {
    local root=()
    if [ "$(id -u)" -ne 0 ]; then
        root=(sudo -n)
    fi
    # A list of packages that is out of date is brought up to date only when it has to be.
    {
        "${root[@]}" apt-get install -y --no-install-recommends etcd-server etcd-client ||
            { "${root[@]}" apt-get update &&
                "${root[@]}" apt-get install -y --no-install-recommends etcd-server etcd-client; }
    } >&2
}

# The system's etcd, installed if it is not there.
system() {
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
}

case $which in
system)
    system
    tell "$(command -v etcd)"
    ;;
go.mod)
    if build go.mod; then
        use "etcd-$(version go.mod)" "etcdctl-$(version go.mod)"
    else
        echo "etcd $(version go.mod) cannot be built here (it needs Go): the system's package serves" >&2
        system
        use "$(command -v etcd)" "$(command -v etcdctl || true)"
    fi
    tell "$folder/etcd"
    ;;
*)
    if ! build "$which"; then
        echo "etcd $(version "$which") cannot be built here: it needs Go" >&2
        exit 1
    fi
    tell "$folder/etcd-$(version "$which")"
    ;;
esac
