//! The contenders that need no library of others but tonic.

mod echo_content;
mod framed_socket;
mod grid;
mod grpc_echo;
mod ordered_calls;
mod pipelined;
mod raw_tcp;
mod tonic_stream;
mod tonic_unary;

/// The versions that the programs are built with.
const LOCK: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.lock"));

pub use grid::{GridLink, GridProcess};
pub use raw_tcp::{RawPipeline, RawTcp};
pub use tonic_stream::TonicStream;
pub use tonic_unary::TonicUnary;
