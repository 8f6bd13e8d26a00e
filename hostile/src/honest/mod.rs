//! The honest callers: they use the library's client at a steady pace, and expect no errors.

mod call;
mod callers;
mod figures;
mod phase;

pub use call::HonestRoute;
pub use callers::Callers;
pub use figures::HonestFigures;
pub use phase::Phase;
