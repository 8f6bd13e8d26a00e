//! Frames on TCP.

use std::process::ExitCode;

use contest::contenders::RawTcp;

fn main() -> ExitCode {
    bench_kit::run_contender::<RawTcp>()
}
