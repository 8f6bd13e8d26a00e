//! Requests of actorgrid over a link.

use std::process::ExitCode;

use contest::contenders::GridLink;

fn main() -> ExitCode {
    bench_kit::run_contender::<GridLink>()
}
