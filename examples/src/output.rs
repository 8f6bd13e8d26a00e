//! Prints lines, and writes logs to the standard error.

use std::io::{self, Write as _};

use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Prints a line of results to stdout at once. A closed stdout (`| head`) is not an error: the
/// program has other work to do than printing.
pub fn line(text: impl std::fmt::Display) {
    let mut stdout = io::stdout().lock();
    let _ = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
}

/// Writes logs to stderr: warnings, or what `RUST_LOG` asks for (`actorgrid=debug,warn`).
pub fn log_to_stderr() {
    let targets = std::env::var("RUST_LOG")
        .ok()
        .and_then(|text| text.parse::<Targets>().ok())
        .unwrap_or_else(|| Targets::new().with_default(tracing::Level::WARN));
    let layer = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .with_writer(io::stderr);
    tracing_subscriber::registry()
        .with(targets)
        .with(layer)
        .init();
}
