#!/usr/bin/env bash
# Compares the throughput of the library between a commit and the current tree.
#
#   compare.sh BASE [ROUNDS] [further options of `compare`, such as --seconds 1 --route local]
#
# The current tree's load generator is built against both, and the two builds take turns.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

base=${1:?name the commit to compare with}
rounds=${2:-5}
shift $(($# < 2 ? $# : 2))
tree=target/bench-base
target=${CARGO_TARGET_DIR:-$PWD/target}

# Reuse the folder of an earlier comparison, so that only changed crates are built again.
if [ -e "$tree/.git" ]; then
    git -C "$tree" checkout --quiet --force --detach "$(git rev-parse "$base^{commit}")"
    git -C "$tree" clean --quiet --force -d
else
    git worktree prune
    git worktree add --quiet --force --detach "$tree" "$base"
fi
rm -rf "$tree/bench"
cp -R bench "$tree/bench"
# An old base does not have the load generator as a workspace member.
if ! grep -q '^members = .*"bench"' "$tree/Cargo.toml"; then
    sed -i.orig 's/^members = \[/members = ["bench", /' "$tree/Cargo.toml"
fi

(cd "$tree" && CARGO_TARGET_DIR="$PWD/../bench-base-target" cargo build --release --quiet --package bench --bin load)
CARGO_TARGET_DIR=$target cargo build --release --locked --quiet --package bench

# Both builds run against the current tree's etcd.
ACTORGRID_ETCD=${ACTORGRID_ETCD:-$(tools/etcd/setup.sh target/etcd)}
export ACTORGRID_ETCD
exec "$target/release/compare" --base target/bench-base-target/release/load \
    --current "$target/release/load" --rounds "$rounds" "$@"
