#!/usr/bin/env bash
# Fails where a table that names the tests of each line names one that is not there: the features of
# docs/features.md and the bounds of docs/limits.md.
#
# The last column of a line is `[file](path) `test`, `test` ...`: each word in backticks after a path
# is a test function in that file. The path is relative to the document.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

failed=0

# The last column of each line of the tables of a document whose header ends in a certain word.
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
                    echo "$document: no test ${word:1:-1} in $path" >&2
                    failed=1
                fi
                ;;
            esac
        done < <(grep -oE '\]\([^)]+\)|`[a-z0-9_]+`' <<<"$shown" | sed 's/^\]//')
        if [ -z "$path" ]; then
            echo "$document: no test is named: $shown" >&2
            failed=1
        fi
    done < <(shown_by "$document" "$header")
    if [ "$lines" -eq 0 ]; then
        echo "$document: no table of tests" >&2
        failed=1
    fi
    echo "each of $lines lines of $document is shown by a test"
}

check docs/features.md '| shown by |'
check docs/limits.md '| test |'
exit "$failed"
