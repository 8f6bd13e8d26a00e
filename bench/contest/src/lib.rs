//! Measures actorgrid beside raw TCP, gRPC and other libraries, and writes the report.
//!
//! - [`contenders`]: the programs that need no other libraries. Those of other libraries are a
//!   workspace of their own (`bench/contenders`, `bench/go`); all have the command line of
//!   `bench-kit`.
//! - [`session`]: runs contenders in turn and keeps the rounds in which the machine was quiet.
//! - [`report`]: what follows from a session, as tables and plots.

pub mod contenders;
pub mod report;
pub mod session;
