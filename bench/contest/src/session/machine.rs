//! Where a session ran.

use std::process::Command;

use bench_kit::BoxError;

/// The machine and the versions of what is on it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub struct Machine {
    /// The day, in UTC.
    pub date: String,
    /// The commit that was built, with a mark if there were changes beside it.
    pub commit: String,
    /// The model of its processors.
    pub processor: String,
    /// How many there are.
    pub processors: usize,
    /// The version of its kernel.
    pub kernel: String,
    /// The compiler.
    pub rust: String,
    /// The Go compiler, if there is one.
    pub go: String,
    /// The version of the etcd that some contenders register with.
    pub etcd: String,
}

impl Machine {
    /// Looks around. The etcd runs already.
    ///
    /// # Errors
    ///
    /// If there is no `/proc`.
    pub fn read(etcd: &str) -> Result<Self, BoxError> {
        let info = std::fs::read_to_string("/proc/cpuinfo")?;
        Ok(Self {
            date: printed("date", &["-u", "+%Y-%m-%d"]),
            commit: printed("git", &["describe", "--always", "--dirty"]),
            processor: model_of(&info).unwrap_or("unknown").to_owned(),
            processors: std::thread::available_parallelism()?.get(),
            kernel: std::fs::read_to_string("/proc/sys/kernel/osrelease")?
                .trim()
                .to_owned(),
            rust: printed("rustc", &["--version"]),
            go: printed("go", &["version"]),
            etcd: etcd.to_owned(),
        })
    }
}

fn model_of(info: &str) -> Option<&str> {
    let line = info.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim())
}

/// The output of a program, or that it is not installed.
fn printed(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output = output.ok().filter(|output| output.status.success());
    output.map_or_else(
        || "not installed".to_owned(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_is_what_follows_the_colon() {
        let info = "processor\t: 0\nmodel name\t: A CPU @ 2.50GHz\nmodel name\t: B\n";
        assert_eq!(model_of(info), Some("A CPU @ 2.50GHz"));
        assert_eq!(model_of(""), None);
    }
}
