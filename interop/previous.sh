#!/usr/bin/env bash
# Builds the peer and the client of these tests with the previous version of the library, for the
# tests of mixed versions: their source is that of this tree, the library is that of a commit.
#
#   previous.sh FOLDER COMMIT
#
# The programs go to FOLDER/bin. They are built once for each commit and source.
set -euo pipefail

folder=$(mkdir -p "$1" && cd "$1" && pwd)
commit=$2
cd "$(dirname "${BASH_SOURCE[0]}")/.."
programs=(interop/src/bin/rust-peer.rs interop/src/bin/rust-client.rs)

key="$commit $(cat "${programs[@]}" | cksum)"
if [ -f "$folder/bin/key" ] && [ "$(cat "$folder/bin/key")" = "$key" ]; then
    exit
fi
if ! git cat-file -e "$commit^{commit}" 2>/dev/null; then
    {
        echo "The previous version of the library, commit $commit, is not in this clone."
        if [ "$(git rev-parse --is-shallow-repository 2>/dev/null)" = true ]; then
            echo "The clone is shallow. Fetch the commit, or the whole history:"
            echo "    git fetch --depth 1 origin $commit"
            echo "    git fetch --unshallow"
        else
            echo "Work in a clone of the repository that has its history, and fetch from where it came:"
            echo "    git fetch origin"
        fi
    } >&2
    exit 1
fi

# Reuse the folder of an earlier build, so that only what has changed is built again.
tree=$folder/tree
if [ -e "$tree/.git" ]; then
    git -C "$tree" checkout --quiet --force --detach "$commit"
    git -C "$tree" clean --quiet --force -d
else
    git worktree prune
    git worktree add --quiet --force --detach "$tree" "$commit"
fi
cp "${programs[@]}" "$tree/interop/src/bin/"
echo "building the previous version, commit $commit (takes a few minutes)" >&2
(cd "$tree" && CARGO_TARGET_DIR="$folder/target" cargo build --quiet --locked --package interop --bins)
mkdir -p "$folder/bin"
rm -f "$folder/bin/key"
cp "$folder/target/debug/rust-peer" "$folder/target/debug/rust-client" "$folder/bin/"
# Last, so that an interrupted build leaves nothing that looks complete.
echo "$key" >"$folder/bin/key"
