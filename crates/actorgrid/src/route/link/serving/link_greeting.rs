//! The beginning of an accepted link: its client's `Hello`, or the reason why there is none.

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::linger::{LINGER_TIME, linger};
use super::link_service::LinkService;
use crate::environment::Environment;
use crate::route::link::{
    ClientIdentity, Decoded, Decoder, GoAwayFrame, HelloLimits, LinkError, LinkFrame, agree,
};
use crate::route::transport::Transport;

/// The `Hello` of a client.
pub(super) struct GreetedClient {
    pub(super) identity: ClientIdentity,
    pub(super) limits: HelloLimits,
    pub(super) version: u16,
}

/// Why there is no link.
pub(super) enum NoHello {
    /// The client learns why.
    Refused(LinkError),
    Gone,
}

/// Reads the `Hello` of a client, and checks it.
pub(super) async fn read_hello(
    service: &LinkService,
    transport: &mut Transport,
    decoder: &mut Decoder,
    unread: &mut BytesMut,
) -> Result<GreetedClient, NoHello> {
    loop {
        let decoded = decoder.decode(unread).map_err(NoHello::Refused)?;
        if let Decoded::Frame { frame, bytes } = decoded {
            let LinkFrame::Hello(hello) = frame else {
                return Err(NoHello::Gone);
            };
            let agreed = agree(&hello, &service.offer()).map_err(NoHello::Refused)?;
            let Some(identity) = hello.client else {
                return Err(NoHello::Gone);
            };
            let client = GreetedClient {
                identity,
                limits: hello.limits,
                version: agreed.version,
            };
            unread.advance(bytes);
            return Ok(client);
        }
        match transport.read_buf(unread).await {
            Ok(bytes) if bytes > 0 => {}
            _ => return Err(NoHello::Gone),
        }
    }
}

/// Tells the client why there is no link.
pub(super) async fn refuse(environment: &Environment, mut transport: Transport, error: &LinkError) {
    let text = error.to_string();
    let frame = GoAwayFrame {
        last_sequence: 0,
        reason: error.reason(),
        text: &text,
    };
    let mut bytes = BytesMut::new();
    let _ = frame.encode(&mut bytes);
    let written = environment.timeout(LINGER_TIME, transport.write_all(&bytes));
    if written.await.is_some_and(|written| written.is_ok()) {
        linger(environment, transport).await;
    }
}
