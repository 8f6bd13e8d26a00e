#!/usr/bin/env bash
# Builds the contenders and measures them.
#
#   run.sh full [options of `contest run`, such as --rounds 7]   writes bench/RESULTS.md
#   run.sh build                                                 builds all that a full run does
#   run.sh smoke                                                 only shows that it works
#
# BENCH_REPORT is another folder for the report of a full run.
# A contender that cannot be built is a line in the report.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

mode=${1:-}
case $mode in
full | build | smoke) shift ;;
*)
    echo "usage: run.sh full | build | smoke" >&2
    exit 2
    ;;
esac
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

# build FOLDER CONTENDER COMMAND... builds one. If that fails there is no program, and the report
# takes the reason from the log. One by one: a library that does not build must not keep the others
# away.
build() {
    local folder=$1 contender=$2
    shift 2
    mkdir -p "$folder"
    echo "building $contender" >&2
    if ! "$@" >"$folder/$contender.log" 2>&1; then
        rm -f "$folder/$contender"
        tail -n 20 "$folder/$contender.log" >&2
    fi
}

foreign=$out/rust/release
for contender in elfo ractor-cluster kameo murmer; do
    build "$foreign" "$contender" cargo build --release --locked --quiet \
        --manifest-path bench/contenders/Cargo.toml --target-dir "$out/rust" \
        --features "$contender" --bin "$contender"
done
for contender in go-grid protoactor; do
    if command -v go >/dev/null; then
        build "$out/go" "$contender" go build -C bench/go -o "$out/go/" "./cmd/$contender"
    else
        build "$out/go" "$contender" sh -c 'echo "error: Go is not installed"; exit 1'
    fi
done
if [ "$mode" = build ]; then
    exit
fi
exec "$target/release/contest" run --own "$target/release" --foreign "$foreign" \
    --go "$out/go" --report "${BENCH_REPORT:-bench}" --session "$out/session.json" "$@"
