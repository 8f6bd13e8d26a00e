//! Finds the files below some paths, and divides them into chunks.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use actorgrid::BoxError;
use walkdir::{DirEntry, WalkDir};

use crate::messages::{Chunk, Part, Piece};
use crate::piece::is_utf8;

/// The maximum number of files in a chunk: empty files have no bytes that would fill it.
const MAX_PARTS: usize = 1000;

/// A file, by its absolute path, as peers in other processes read it too.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) length: u64,
}

/// Returns all regular files below the paths, each once, except in folders named `target` and
/// hidden ones. Does not follow symbolic links. Skips what cannot be listed, with a warning.
pub(crate) fn find_files(paths: &[PathBuf]) -> Result<Vec<Source>, BoxError> {
    let mut files = Vec::new();
    for path in paths {
        let named = |error: io::Error| format!("{}: {error}", path.display());
        path.metadata().map_err(named)?;
        let absolute = std::path::absolute(path).map_err(named)?;
        for entry in WalkDir::new(absolute).into_iter().filter_entry(is_wanted) {
            match entry.map_err(BoxError::from).and_then(source) {
                Ok(found) => files.extend(found),
                Err(error) => tracing::warn!(error, "skipped"),
            }
        }
    }
    files.sort();
    files.dedup();
    if files.is_empty() {
        return Err("there are no files below the paths".into());
    }
    Ok(files)
}

/// Whether an entry is a file or a folder to visit. The paths themselves always are.
fn is_wanted(entry: &DirEntry) -> bool {
    let name = entry.file_name().as_encoded_bytes();
    entry.depth() == 0
        || !entry.file_type().is_dir()
        || !(name == b"target" || name.starts_with(b"."))
}

fn source(entry: DirEntry) -> Result<Option<Source>, BoxError> {
    if !entry.file_type().is_file() {
        return Ok(None);
    }
    // Opened now, as an unreadable file would otherwise end the job half-way.
    let length = File::open(entry.path())
        .and_then(|file| file.metadata())
        .map_err(|error| format!("{}: {error}", entry.path().display()))?
        .len();
    let path = text(entry.path())?;
    Ok(Some(Source { path, length }))
}

fn text(path: &Path) -> Result<String, String> {
    path.to_str()
        .map(str::to_owned)
        .ok_or_else(|| format!("{}: the path is not UTF-8", path.display()))
}

/// The chunks to read.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) chunks: Vec<Chunk>,
    /// The number of large files that are not UTF-8; readers skip the small ones.
    pub(crate) skipped: u64,
}

impl Plan {
    /// Splits files that are larger than a chunk, and combines small ones.
    pub(crate) fn new(files: &[Source], chunk_bytes: u64) -> io::Result<Self> {
        let mut plan = Self::default();
        let (mut parts, mut bytes) = (Vec::new(), 0);
        for Source { path, length } in files {
            if *length > chunk_bytes {
                plan.split(path, *length, chunk_bytes)?;
                continue;
            }
            if !parts.is_empty() && (bytes + length > chunk_bytes || parts.len() == MAX_PARTS) {
                plan.push(std::mem::take(&mut parts));
                bytes = 0;
            }
            bytes += length;
            parts.push(Part {
                path: path.clone(),
                piece: None,
            });
        }
        // A job without chunks would never end, so it gets an empty one, which does no harm.
        if !parts.is_empty() || plan.chunks.is_empty() {
            plan.push(parts);
        }
        Ok(plan)
    }

    fn split(&mut self, path: &str, length: u64, chunk_bytes: u64) -> io::Result<()> {
        // A single invalid byte skips the whole file, including the pieces before it.
        if !is_utf8(&mut File::open(path)?)? {
            self.skipped += 1;
            return Ok(());
        }
        let mut offset = 0;
        while offset < length {
            let piece = Piece {
                offset,
                length: chunk_bytes.min(length - offset),
            };
            self.push(vec![Part {
                path: path.to_owned(),
                piece: Some(piece),
            }]);
            offset += piece.length;
        }
        Ok(())
    }

    fn push(&mut self, parts: Vec<Part>) {
        self.chunks.push(Chunk { parts });
    }
}
