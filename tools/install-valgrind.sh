#!/usr/bin/env bash
# Installs the system's valgrind unless it is installed already.
set -euo pipefail

if valgrind --version >/dev/null 2>&1; then
    exit
fi
root=()
if [ "$(id -u)" -ne 0 ]; then
    root=(sudo -n)
fi
install=("${root[@]}" apt-get install -y --no-install-recommends valgrind)
echo "installing valgrind" >&2
# Update the package lists only if the installation fails.
"${install[@]}" >/dev/null || { "${root[@]}" apt-get update >/dev/null && "${install[@]}" >/dev/null; } || true
if ! valgrind --version >/dev/null 2>&1; then
    echo "********************************************************************" >&2
    echo "NOT COUNTED: valgrind is missing and cannot be installed, so the" >&2
    echo "instructions of a request may be over their budget." >&2
    echo "********************************************************************" >&2
    exit 1
fi
