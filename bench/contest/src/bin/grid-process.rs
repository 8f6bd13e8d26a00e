//! Requests of actorgrid over gRPC.

use std::process::ExitCode;

use contest::contenders::GridProcess;

fn main() -> ExitCode {
    bench_kit::run_contender::<GridProcess>()
}
