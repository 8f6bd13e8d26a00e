//! A bidirectional stream of tonic.

use std::process::ExitCode;

use contest::contenders::TonicStream;

fn main() -> ExitCode {
    bench_kit::run_contender::<TonicStream>()
}
