//! The byte stream below HTTP/2 of a connection to etcd.

use tokio::io::{AsyncRead, AsyncWrite};

/// A byte stream: TCP, or TLS over TCP.
pub(super) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}
