#!/usr/bin/env bash
# Fails if a table that names tests names one that does not exist: the features in
# docs/features.md, and the bounds and the faults in docs/limits.md.
#
# The last column of each row is `[file](path) `test`, `test` ...`. Each word in backticks names a
# test function in the file whose path precedes it. Paths are relative to the document.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

failed=0

# Prints the last column of each row of the tables in document $1 whose header contains $2.
shown_by() {
    awk -v header="$2" '
        /^\|/ && index($0, header) { on = 1; getline; next }
        on && !/^\|/ { on = 0 }
        on { line = $0; sub(/ *\| *$/, "", line); sub(/.*\| /, "", line); print line }
    ' "$1"
}

check() {
    local document=$1 header=$2 lines=0 shown path word
    while IFS= read -r shown; do
        lines=$((lines + 1))
        path=
        while read -r word; do
            case $word in
            \(*) path=$(dirname "$document")/${word:1:-1} ;;
            \`*)
                if [ -n "$path" ] && ! grep -Eq "fn ${word:1:-1}\\b" "$path" 2>/dev/null; then
                    echo "$document: $path has no test ${word:1:-1}" >&2
                    failed=1
                fi
                ;;
            esac
        done < <(grep -oE '\]\([^)]+\)|`[a-z0-9_]+`' <<<"$shown" | sed 's/^\]//')
        if [ -z "$path" ]; then
            echo "$document: this row names no test: $shown" >&2
            failed=1
        fi
    done < <(shown_by "$document" "$header")
    if [ "$lines" -eq 0 ]; then
        echo "$document: no table has the header $header" >&2
        failed=1
    fi
    echo "$document: all $lines rows name tests that exist"
}

check docs/features.md '| shown by |'
check docs/limits.md '| test |'
exit "$failed"
