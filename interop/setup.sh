#!/usr/bin/env bash
# Builds the programs on the Go library that the tests run with ours into a folder. Installs Go if
# it is missing; fails with instructions if it cannot.
set -euo pipefail

folder=$(mkdir -p "$1" && cd "$1" && pwd)
cd "$(dirname "${BASH_SOURCE[0]}")/go"

if ! command -v go >/dev/null; then
    root=()
    if [ "$(id -u)" -ne 0 ]; then
        root=(sudo -n)
    fi
    echo "installing Go" >&2
    if ! { "${root[@]}" apt-get install -y --no-install-recommends golang-go ||
        { "${root[@]}" apt-get update && "${root[@]}" apt-get install -y --no-install-recommends golang-go; }; } >&2; then
        echo "Go is missing and cannot be installed here: install Go 1.18 or later (https://go.dev/doc/install)" >&2
        exit 1
    fi
fi
go build -o "$folder/" ./cmd/peer ./cmd/client
echo "built the programs of $(go list -m github.com/lytics/grid/v3) with $(go env GOVERSION)" >&2
