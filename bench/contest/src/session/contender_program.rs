//! The programs of the contenders.

use std::path::PathBuf;
use std::process::Command;

use bench_kit::{About, BoxError};

/// Where programs are, by what builds them.
#[derive(Debug, Clone, Default)]
pub struct ContenderFolders {
    /// Those of this workspace.
    pub own: PathBuf,
    /// Those of other Rust libraries.
    pub foreign: PathBuf,
    /// Those of Go libraries.
    pub go: PathBuf,
}

/// A contender that may take part.
#[derive(Debug, Clone)]
pub struct ContenderProgram {
    /// Its name in options and in the record of a session.
    pub key: &'static str,
    /// Its program.
    pub path: PathBuf,
}

impl ContenderProgram {
    /// The one that the goals are about.
    pub const OURS: &str = "grid-link";
    /// The same over gRPC.
    pub const OURS_OVER_GRPC: &str = "grid-process";
    /// The bound on all others.
    pub const RAW: &str = "raw-tcp";
    /// The same without a task per request, which no library can offer.
    pub const RAW_PIPELINE: &str = "raw-pipeline";
    /// A gRPC call per request.
    pub const UNARY: &str = "tonic-unary";
    /// A gRPC stream for all requests.
    pub const STREAM: &str = "tonic-stream";

    /// elfo with its network.
    pub const ELFO: &str = "elfo";
    /// The Go library that ours succeeds.
    pub const GO_GRID: &str = "go-grid";

    /// Those of this workspace.
    #[must_use]
    pub fn own(folders: &ContenderFolders) -> Vec<Self> {
        [
            Self::RAW,
            Self::OURS,
            Self::RAW_PIPELINE,
            Self::STREAM,
            Self::UNARY,
            Self::OURS_OVER_GRPC,
        ]
        .map(|key| Self {
            key,
            path: folders.own.join(key),
        })
        .to_vec()
    }

    /// All of them.
    #[must_use]
    pub fn all(folders: &ContenderFolders) -> Vec<Self> {
        let mut all = Self::own(folders);
        for key in [Self::ELFO, "ractor-cluster", "kameo", "murmer"] {
            let path = folders.foreign.join(key);
            all.push(Self { key, path });
        }
        for key in [Self::GO_GRID, "protoactor"] {
            let path = folders.go.join(key);
            all.push(Self { key, path });
        }
        all
    }

    /// Whether the session is about it: if it fails, so does the session.
    #[must_use]
    pub fn is_ours(key: &str) -> bool {
        matches!(key, Self::OURS | Self::OURS_OVER_GRPC)
    }

    /// Whether its client calls several processes, so that the loss of one may touch the others.
    #[must_use]
    pub fn has_bystander(&self) -> bool {
        Self::is_ours(self.key)
    }

    /// Asks the program for its description.
    ///
    /// # Errors
    ///
    /// If it was not built, or does not say.
    pub fn about(&self) -> Result<About, BoxError> {
        if !self.path.is_file() {
            return Err(self.why_not_built().into());
        }
        let output = Command::new(&self.path).arg("about").output()?;
        if !output.status.success() {
            return Err(format!("`about` ended with {}", output.status).into());
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// The first error of its build, where the script that builds it has left its output.
    fn why_not_built(&self) -> String {
        let log = std::fs::read_to_string(self.path.with_extension("log")).unwrap_or_default();
        match first_error(&log) {
            Some(error) => format!("was not built: {error}"),
            None => "was not built".to_owned(),
        }
    }
}

/// The first error in the output of a build, or its last line where none calls itself one.
fn first_error(log: &str) -> Option<&str> {
    let mut lines = log.lines().map(str::trim).filter(|line| !line.is_empty());
    let error = lines.clone().find(|line| line.starts_with("error"));
    error.or_else(|| lines.next_back())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_error_of_a_build_is_its_reason() {
        let cargo =
            "   Compiling a v1\nerror[E0425]: no `x`\n --> a.rs\nerror: could not compile\n";
        assert_eq!(first_error(cargo), Some("error[E0425]: no `x`"));
        let go = "# a/b\nmain.go:3:2: undefined: x\n\n";
        assert_eq!(first_error(go), Some("main.go:3:2: undefined: x"));
        assert_eq!(first_error("\n"), None);
    }
}
