//! Figures as text, and where a session has them.

use bench_kit::Summary;

use crate::session::{Load, ScenarioRecord, SessionRecord};

/// A figure with three digits that say something.
pub(super) fn digits(figure: f64) -> String {
    match figure.abs() {
        size if !size.is_finite() => "∞".to_owned(),
        size if size >= 100.0 => format!("{figure:.0}"),
        size if size >= 10.0 => format!("{figure:.1}"),
        size if size >= 1.0 => format!("{figure:.2}"),
        _ => format!("{figure:.3}"),
    }
}

/// A median with its ends.
pub(super) fn with_ends(summary: Option<Summary>) -> String {
    summary.map_or_else(
        || "–".to_owned(),
        |figure| {
            let (median, min, max) = (figure.median, figure.min, figure.max);
            format!("{} ({}–{})", digits(median), digits(min), digits(max))
        },
    )
}

/// A median alone.
pub(super) fn alone(summary: Option<Summary>) -> String {
    summary.map_or_else(|| "–".to_owned(), |figure| digits(figure.median))
}

/// A size as people say it.
pub(super) fn size(bytes: usize) -> String {
    match bytes {
        bytes if bytes >= 1024 && bytes.is_multiple_of(1024) => format!("{} KiB", bytes / 1024),
        bytes if bytes >= 1000 && bytes.is_multiple_of(1000) => format!("{} kB", bytes / 1000),
        bytes => format!("{bytes} B"),
    }
}

/// A text without the folders of the machine that it names: they say nothing elsewhere.
pub(super) fn without_folders(text: &str) -> String {
    let words = text.split_whitespace().map(|word| match word.find('/') {
        // Not those within a word, or after the scheme of a URL.
        Some(start) if !word[..start].ends_with(|c: char| c.is_alphanumeric() || c == ':') => {
            let name = word.rsplit('/').next().unwrap_or_default();
            format!("{}{name}", &word[..start])
        }
        _ => word.to_owned(),
    });
    words.collect::<Vec<_>>().join(" ")
}

/// A row of a table.
pub(super) fn row(cells: impl IntoIterator<Item = String>) -> String {
    let mut line = "|".to_owned();
    for cell in cells {
        line.push(' ');
        // A bar would end the cell.
        line.push_str(&cell.replace('|', "/"));
        line.push_str(" |");
    }
    line.push('\n');
    line
}

/// The head of a table.
pub(super) fn head(cells: &[String]) -> String {
    row(cells.iter().cloned()) + &row(cells.iter().map(|_| "---".to_owned()))
}

/// The scenario with the defaults and this load and size.
pub(super) fn scenario(
    session: &SessionRecord,
    load: Load,
    bytes: usize,
) -> Option<&ScenarioRecord> {
    special_scenario(session, load, bytes, None, false)
}

/// The same with settings.
pub(super) fn special_scenario(
    session: &SessionRecord,
    load: Load,
    bytes: usize,
    worker_threads: Option<usize>,
    is_pinned: bool,
) -> Option<&ScenarioRecord> {
    session.scenarios.iter().find(|record| {
        let scenario = &record.scenario;
        scenario.load == load
            && scenario.bytes == bytes
            && scenario.worker_threads == worker_threads
            && scenario.is_pinned == is_pinned
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_are_shown() {
        let shown = [745_123.4, 99.94, 9.994, 0.0461, f64::INFINITY].map(digits);
        assert_eq!(shown, ["745123", "99.9", "9.99", "0.046", "∞"]);
        assert_eq!(with_ends(Summary::of([1.0, 2.0, 3.0])), "2.00 (1.00–3.00)");
        assert_eq!(alone(None), "–");
        assert_eq!([70, 5_000, 65_536].map(size), ["70 B", "5 kB", "64 KiB"]);
    }

    #[test]
    fn folders_are_not_shown() {
        let text =
            "panicked at /home/a/.cargo/src/b-1.0/lib.rs:10:5:\nno tcp://127.0.0.1:80 and/or";
        let shown = "panicked at lib.rs:10:5: no tcp://127.0.0.1:80 and/or";
        assert_eq!(without_folders(text), shown);
        assert_eq!(without_folders("(in `/a/b`)"), "(in `b`)");
    }

    #[test]
    fn a_bar_does_not_break_a_table() {
        assert_eq!(row(["a|b".to_owned(), "c".to_owned()]), "| a/b | c |\n");
    }
}
