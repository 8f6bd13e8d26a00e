//! The report on a session: goals, tables and plots.

mod chart;
mod figures;
mod goals;
mod loss_table;
mod markdown;
mod plots;
mod speed_tables;

use std::path::Path;

use bench_kit::BoxError;

pub use goals::{GoalLine, goal_lines};
pub use markdown::markdown;
pub use plots::plots;

use crate::session::SessionRecord;

/// Writes `RESULTS.md`, and the plots that it shows, into a folder.
///
/// # Errors
///
/// If a file cannot be written.
pub fn write_report(session: &SessionRecord, folder: &Path) -> Result<(), BoxError> {
    let plot_folder = folder.join("plots");
    std::fs::create_dir_all(&plot_folder)?;
    for (name, svg) in plots(session) {
        std::fs::write(plot_folder.join(name), svg)?;
    }
    std::fs::write(folder.join("RESULTS.md"), markdown(session))?;
    Ok(())
}

#[cfg(test)]
mod tests;
