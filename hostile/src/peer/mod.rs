//! The peer under attack: its actors, and its reports about itself.

mod actors;
mod ledger;
mod process_status;
mod report;
mod reporter;

pub use actors::{
    DEAF_100, DEAF_1000, DEAF_4000, ECHO, FORBIDDEN, HANGING, LARGE, MIRROR, NAMESPACE, SILENT,
    SINK, serve, start_actors,
};
pub use ledger::Ledger;
pub use process_status::ProcessStatus;
pub use report::PeerReport;
pub use reporter::{Figures, REPORT, print_reports};
