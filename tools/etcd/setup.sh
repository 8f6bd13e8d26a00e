#!/usr/bin/env bash
# Installs the etcd that the tests run against. Prints its version on stderr, its path on stdout.
#
#   setup.sh FOLDER             the pinned release (go.mod), with links to it: etcd and etcdctl
#   setup.sh FOLDER go-3.7.mod  another release, without links
#   setup.sh FOLDER system      the system's package, without links
#
# A release is built from its Go module, once. If Go is not installed or the build fails, the
# system's package replaces the pinned release; for another release that is an error.
set -euo pipefail

folder=$(mkdir -p "$1" && cd "$1" && pwd)
which=${2:-go.mod}
cd "$(dirname "${BASH_SOURCE[0]}")"

report() {
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

# Builds into temporary files and renames them, so that an interrupted build leaves nothing that
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
    # Update the package lists only if the installation fails.
    {
        "${root[@]}" apt-get install -y --no-install-recommends etcd-server etcd-client ||
            { "${root[@]}" apt-get update &&
                "${root[@]}" apt-get install -y --no-install-recommends etcd-server etcd-client; }
    } >&2
}

# Installs the system's etcd unless it is installed already.
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
    report "$(command -v etcd)"
    ;;
go.mod)
    if build go.mod; then
        use "etcd-$(version go.mod)" "etcdctl-$(version go.mod)"
    else
        echo "etcd $(version go.mod) cannot be built here (it needs Go): using the system's package" >&2
        system
        use "$(command -v etcd)" "$(command -v etcdctl || true)"
    fi
    report "$folder/etcd"
    ;;
*)
    if ! build "$which"; then
        echo "etcd $(version "$which") cannot be built here: it needs Go" >&2
        exit 1
    fi
    report "$folder/etcd-$(version "$which")"
    ;;
esac
