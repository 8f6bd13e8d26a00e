#!/usr/bin/env bash
# Builds the contenders and measures them.
#
#   run.sh full [options of `contest run`, such as --rounds 7]     writes bench/RESULTS.md
#   run.sh smoke                                                   only shows that it works
#
# A contender that cannot be built is a line in the report.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

mode=${1:?full or smoke}
shift
target=${CARGO_TARGET_DIR:-$PWD/target}
out=$target/bench
mkdir -p "$out"
# The tests' etcd, also where the folder of the builds is another one.
ACTORGRID_ETCD=${ACTORGRID_ETCD:-$(tools/etcd/setup.sh target/etcd)}
export ACTORGRID_ETCD

cargo build --release --locked --quiet --package contest
if [ "$mode" = smoke ]; then
    exec "$target/release/contest" smoke --own "$target/release" \
        --report "$out/smoke" --session "$out/smoke.json" "$@"
fi

rm -rf "$out/go" && mkdir -p "$out/go"
for contender in elfo ractor-cluster kameo murmer; do
    # One by one: a library that does not build must not keep the others away.
    cargo build --release --locked --quiet --manifest-path bench/contenders/Cargo.toml \
        --target-dir "$out/rust" --features "$contender" --bin "$contender" ||
        rm -f "$out/rust/release/$contender"
done
if command -v go >/dev/null; then
    for contender in go-grid protoactor; do
        (cd bench/go && go build -o "$out/go/" "./cmd/$contender") || true
    done
fi
exec "$target/release/contest" run --own "$target/release" --foreign "$out/rust/release" \
    --go "$out/go" --report bench --session "$out/session.json" "$@"
