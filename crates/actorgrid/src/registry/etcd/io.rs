//! What a connection to etcd is made of, below HTTP/2.

use tokio::io::{AsyncRead, AsyncWrite};

/// A way for bytes: TCP, or TLS on it.
pub(super) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}
