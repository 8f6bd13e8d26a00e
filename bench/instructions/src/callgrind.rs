//! Runs this program under callgrind, and reads what was counted.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use actorgrid::BoxError;

use crate::counted_side::CountedSide;
use crate::echo_grid::PushedRequests;

/// The functions of the system that a Rust program gets memory from.
const ALLOCATING: [&str; 5] = [
    "malloc",
    "calloc",
    "realloc",
    "aligned_alloc",
    "posix_memalign",
];

/// The instructions of one side, and the allocations of both: callgrind counts all calls.
pub(crate) struct CountedInstructions {
    pub(crate) per_request: u64,
    pub(crate) allocations_per_request: f64,
    /// The file that says which functions took them.
    pub(crate) profile: PathBuf,
}

/// Counts the instructions of requests at this side.
pub(crate) fn count_instructions(side: CountedSide) -> Result<CountedInstructions, BoxError> {
    let program = std::env::current_exe()?;
    let profile = program.with_file_name(format!("instructions-{side}.callgrind"));
    let output = Command::new("valgrind")
        .args(["--quiet", "--tool=callgrind", "--collect-atstart=no"])
        .arg("--toggle-collect=*counted_turn*")
        .arg(format!("--callgrind-out-file={}", profile.display()))
        .arg(&program)
        .args(["push", side.name()])
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("valgrind does not run: {error}"))?;
    if !output.status.success() {
        return Err(format!("the run under valgrind failed: {}", output.status).into());
    }
    let pushed: PushedRequests = String::from_utf8(output.stdout)?.parse()?;
    let counted = std::fs::read_to_string(&profile)?;
    let instructions = total(&counted)
        .filter(|instructions| *instructions > 0)
        .ok_or("callgrind has counted nothing")?;
    Ok(CountedInstructions {
        per_request: instructions / pushed.counted.max(1),
        allocations_per_request: allocations(&counted) as f64 / pushed.all.max(1) as f64,
        profile,
    })
}

/// The instructions in a profile.
fn total(profile: &str) -> Option<u64> {
    let mut lines = profile.lines();
    let total = lines.find_map(|line| line.strip_prefix("totals: "))?;
    total.trim().parse().ok()
}

/// The calls in a profile of functions that allocate memory.
fn allocations(profile: &str) -> u64 {
    // A function is named once, with a number that stands for it from there on.
    let mut names = HashMap::new();
    let mut callee = None;
    let mut calls = 0;
    for line in profile.lines() {
        if let Some(function) = line.strip_prefix("fn=").or(line.strip_prefix("cfn=")) {
            let (number, name) = function.split_once(' ').unwrap_or((function, ""));
            if !name.is_empty() {
                names.insert(number, name);
            }
            callee = line.starts_with('c').then_some(number);
        } else if let Some(count) = line.strip_prefix("calls=")
            && let Some(name) = callee.take().and_then(|number| names.get(number))
            && ALLOCATING.contains(name)
        {
            let count = count.split(' ').next().and_then(|count| count.parse().ok());
            calls += count.unwrap_or(0);
        }
    }
    calls
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_of_what_allocates_are_counted() {
        let profile = "fn=(1) main\n5 6\ncfn=(2) malloc\ncalls=3 10\n5 60\n\
                       cfn=(3) free\ncalls=7 10\n5 70\nfn=(4) other\n\
                       cfn=(2)\ncalls=4 10\n5 80\ncfn=(5) realloc\ncalls=1 10\n5 9\n";
        assert_eq!(allocations(profile), 8);
        assert_eq!(allocations("version: 1\n"), 0);
    }

    #[test]
    fn the_total_is_read() {
        let profile = "version: 1\nevents: Ir\n\nfn=(1) main\n5 6\ntotals: 1234\n";
        assert_eq!(total(profile), Some(1234));
        assert_eq!(total("version: 1\n"), None);
    }
}
