//! Opening a link: the connection, the greeting, and the answer to it.

use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tracing::debug;

use super::link_client::LinkClient;
use super::pending_call::LinkEnding;
use crate::address::Address;
use crate::environment::Environment;
use crate::error::{RequestError, RequestErrorKind};
use crate::route::link::{
    Decoded, Decoder, GREETING, GoAwayReason, HelloFrame, HelloLimits, LinkFrame, LinkSide, agree,
};
use crate::route::transport::Transport;

/// For a peer that answers at all; less than any deadline that leaves time for another try.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// The time for the answer to the greeting. A server of another protocol may say nothing at all,
/// and the first call to it must take less than a second.
const HELLO_TIMEOUT: Duration = Duration::from_millis(750);

/// A link that was opened.
pub(super) struct OpenedLink {
    pub(super) transport: Transport,
    pub(super) decoder: Decoder,
    /// Bytes behind the peer's `Hello`.
    pub(super) unread: BytesMut,
    pub(super) limits: HelloLimits,
}

/// Opens a link to the process of this incarnation (0: any) at an address.
pub(super) async fn open_link(
    environment: &Environment,
    address: &Address,
    client: &LinkClient,
    incarnation: u64,
) -> Result<OpenedLink, LinkEnding> {
    let connecting = Transport::connect(environment, address);
    let transport = match environment.timeout(CONNECT_TIMEOUT, connecting).await {
        Some(Ok(transport)) => transport,
        Some(Err(error)) => {
            let text = error.to_string();
            return Err(unreachable(address, &text, Some(error)));
        }
        None => return Err(unreachable(address, "no connection in time", None)),
    };
    let hello = client.hello(incarnation);
    let greeting = greet(transport, address, &hello);
    let greeted = environment.timeout(HELLO_TIMEOUT, greeting).await;
    greeted.unwrap_or(Err(LinkEnding::NoLink))
}

async fn greet(
    mut transport: Transport,
    address: &Address,
    own: &HelloFrame<'_>,
) -> Result<OpenedLink, LinkEnding> {
    let mut bytes = BytesMut::from(&GREETING[..]);
    // It fails only if the namespace is too long, which none is.
    let _ = own.encode(&mut bytes);
    if transport.write_all(&bytes).await.is_err() {
        return Err(LinkEnding::NoLink);
    }
    let mut decoder = Decoder::new(LinkSide::Server);
    let mut unread = BytesMut::new();
    loop {
        let decoded = decoder.decode(&unread).map_err(|error| {
            debug!(%error, "a peer does not answer the greeting of a link");
            LinkEnding::NoLink
        })?;
        if let Decoded::Frame { frame, bytes } = decoded {
            let limits = answer(&frame, address, own)?;
            unread.advance(bytes);
            return Ok(OpenedLink {
                transport,
                decoder,
                unread,
                limits,
            });
        }
        match transport.read_buf(&mut unread).await {
            Ok(bytes) if bytes > 0 => {}
            _ => return Err(LinkEnding::NoLink),
        }
    }
}

/// Reads the first frame of the peer.
fn answer(
    frame: &LinkFrame<'_>,
    address: &Address,
    own: &HelloFrame<'_>,
) -> Result<HelloLimits, LinkEnding> {
    match frame {
        LinkFrame::Hello(peer) => match agree(own, peer) {
            Ok(_) => Ok(peer.limits),
            Err(error) => {
                debug!(%error, "a peer does not agree on a link");
                Err(LinkEnding::NoLink)
            }
        },
        LinkFrame::GoAway(refusal) => {
            debug!(reason = %refusal.reason, "a peer refuses a link");
            match refusal.reason {
                // Nobody else speaks to this one: the name is to be looked up again.
                GoAwayReason::Incarnation | GoAwayReason::Namespace | GoAwayReason::Crowded => {
                    Err(unreachable(address, &refusal.reason.to_string(), None))
                }
                _ => Err(LinkEnding::NoLink),
            }
        }
        _ => Err(LinkEnding::NoLink),
    }
}

fn unreachable(address: &Address, text: &str, cause: Option<std::io::Error>) -> LinkEnding {
    let error = RequestError::refused(
        RequestErrorKind::Unreachable,
        format!("the peer at {address} cannot be reached: {text}"),
    );
    LinkEnding::Unreachable(match cause {
        Some(cause) => error.caused_by(cause),
        None => error,
    })
}
