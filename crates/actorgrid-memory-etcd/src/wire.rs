//! The generated stubs. `make codegen` writes them; nothing there is edited by hand.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    dead_code
)]

include!("wire/generated/etcdserverpb.rs");
