//! The generated stubs. `make codegen` writes them; nothing here is edited by hand.

/// The protocol shared with the Go library's peers.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, dead_code)]
#[rustfmt::skip]
pub(crate) mod grid {
    include!("generated/grid.rs");
}

/// Our additions.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, dead_code)]
#[rustfmt::skip]
pub(crate) mod detail {
    include!("generated/actorgrid.rs");
}

/// The standard health service of gRPC.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, dead_code)]
#[rustfmt::skip]
pub(crate) mod health {
    include!("generated/grpc.health.v1.rs");
}

/// The part of etcd's API that the library uses.
#[cfg(feature = "etcd")]
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, dead_code)]
#[rustfmt::skip]
pub(crate) mod etcd {
    include!("generated/etcdserverpb.rs");
}
