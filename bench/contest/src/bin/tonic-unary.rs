//! Unary calls of tonic.

use std::process::ExitCode;

use contest::contenders::TonicUnary;

fn main() -> ExitCode {
    bench_kit::run_contender::<TonicUnary>()
}
