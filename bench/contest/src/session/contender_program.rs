//! The programs of the contenders.

use std::path::PathBuf;
use std::process::Command;

use bench_kit::{About, BoxError};

/// Where programs are, by what builds them.
#[derive(Debug, Clone)]
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
        for key in ["elfo", "ractor-cluster", "kameo", "murmer"] {
            let path = folders.foreign.join(key);
            all.push(Self { key, path });
        }
        for key in ["go-grid", "protoactor"] {
            let path = folders.go.join(key);
            all.push(Self { key, path });
        }
        all
    }

    /// Whether its client calls several processes, so that the loss of one may touch the others.
    #[must_use]
    pub fn has_bystander(&self) -> bool {
        matches!(self.key, Self::OURS | Self::OURS_OVER_GRPC)
    }

    /// Asks the program for its description.
    ///
    /// # Errors
    ///
    /// If it was not built, or does not say.
    pub fn about(&self) -> Result<About, BoxError> {
        if !self.path.is_file() {
            return Err("was not built".into());
        }
        let output = Command::new(&self.path).arg("about").output()?;
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}
