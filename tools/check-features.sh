#!/usr/bin/env bash
# Fails where a line of the README's list of features names a test that is not there.
#
# A line is `| feature | [file](path) test, test ... |`: each word in backticks after a path is a
# test function in that file.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

lines=0
failed=0
while IFS= read -r line; do
    lines=$((lines + 1))
    shown=${line#|*|}
    path=
    while read -r word; do
        case $word in
        \(*) path=${word:1:-1} ;;
        \`*)
            if ! grep -Eq "fn ${word:1:-1}\b" "$path" 2>/dev/null; then
                echo "README.md: no test ${word:1:-1} in ${path:-(no file)}" >&2
                failed=1
            fi
            ;;
        esac
    done < <(grep -oE '\]\([^)]+\)|`[^`]+`' <<<"$shown" | sed 's/^\]//')
    if [ -z "$path" ]; then
        echo "README.md: no test is named: $line" >&2
        failed=1
    fi
done < <(awk '/^\| feature \| shown by \|/ { on = 1; getline; next } on && !/^\|/ { on = 0 } on' README.md)

if [ "$lines" -eq 0 ]; then
    echo "README.md: no list of features" >&2
    exit 1
fi
[ "$failed" -eq 0 ] && echo "each of $lines features of the README is shown by a test"
