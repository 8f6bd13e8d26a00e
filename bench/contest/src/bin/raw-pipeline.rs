//! Frames on TCP, driven by one task.

use std::process::ExitCode;

use contest::contenders::RawPipeline;

fn main() -> ExitCode {
    bench_kit::run_contender::<RawPipeline>()
}
