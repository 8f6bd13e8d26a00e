#!/usr/bin/env bash
# Compares the throughput of the library between a commit and the current tree.
#
#   compare.sh BASE [ROUNDS] [further options of `compare`, such as --seconds 1 --route local]
#
# The load generator of the current tree is built against both, and both builds run in turn.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

base=${1:?the commit to compare with}
rounds=${2:-5}
shift $(($# < 2 ? $# : 2))
tree=target/bench-base
target=${CARGO_TARGET_DIR:-$PWD/target}

# A folder that is left from an earlier comparison is used again, for what is built there already.
if [ -e "$tree/.git" ]; then
    git -C "$tree" checkout --quiet --force --detach "$(git rev-parse "$base^{commit}")"
    git -C "$tree" clean --quiet --force -d
else
    git worktree prune
    git worktree add --quiet --force --detach "$tree" "$base"
fi
rm -rf "$tree/bench"
cp -R bench "$tree/bench"
# The base may not have the load generator as a member yet.
if ! grep -q '^members = .*"bench"' "$tree/Cargo.toml"; then
    sed -i.orig 's/^members = \[/members = ["bench", /' "$tree/Cargo.toml"
fi

(cd "$tree" && CARGO_TARGET_DIR="$PWD/../bench-base-target" cargo build --release --quiet --package bench --bin load)
CARGO_TARGET_DIR=$target cargo build --release --locked --quiet --package bench

# Both builds use the etcd of the current tree.
ACTORGRID_ETCD=${ACTORGRID_ETCD:-$(tools/etcd/setup.sh target/etcd)}
export ACTORGRID_ETCD
exec "$target/release/compare" --base target/bench-base-target/release/load \
    --current "$target/release/load" --rounds "$rounds" "$@"
