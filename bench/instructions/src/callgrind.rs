//! Runs this program under callgrind, and reads what was counted.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use actorgrid::BoxError;

use crate::link_side::LinkSide;

/// The instructions of one side.
pub(crate) struct CountedInstructions {
    pub(crate) per_request: u64,
    /// The file that says which functions took them.
    pub(crate) profile: PathBuf,
}

/// Counts the instructions of requests at this side.
pub(crate) fn count_instructions(side: LinkSide) -> Result<CountedInstructions, BoxError> {
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
    let requests: u64 = String::from_utf8(output.stdout)?.trim().parse()?;
    let instructions = total(&std::fs::read_to_string(&profile)?)
        .filter(|instructions| *instructions > 0)
        .ok_or("callgrind has counted nothing")?;
    Ok(CountedInstructions {
        per_request: instructions / requests.max(1),
        profile,
    })
}

/// The instructions in a profile.
fn total(profile: &str) -> Option<u64> {
    let mut lines = profile.lines();
    let total = lines.find_map(|line| line.strip_prefix("totals: "))?;
    total.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_read() {
        let profile = "version: 1\nevents: Ir\n\nfn=(1) main\n5 6\ntotals: 1234\n";
        assert_eq!(total(profile), Some(1234));
        assert_eq!(total("version: 1\n"), None);
    }
}
