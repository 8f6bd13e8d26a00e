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
/// The time for the whole attempt, the answer to the greeting included. A proxy that does not know
/// the link may say nothing at all, and the first call through it must take less than a second.
const ATTEMPT_TIME: Duration = Duration::from_millis(750);
/// The part of it that is left for the answer, however long connecting took.
const MIN_ANSWER_TIME: Duration = Duration::from_millis(250);

/// A link that was opened.
pub(super) struct OpenedLink {
    pub(super) transport: Transport,
    pub(super) decoder: Decoder,
    /// Bytes behind the peer's `Hello`.
    pub(super) unread: BytesMut,
    pub(super) limits: HelloLimits,
}

/// Opens a link to the process of this incarnation (0: any) at an address. If it is known to speak
/// the link, it is busy, frozen or gone if it says nothing now. Other ways to it would be no
/// better, and requests that go there could overtake those that it has not read of the link before.
pub(super) async fn open_link(
    environment: &Environment,
    address: &Address,
    client: &LinkClient,
    incarnation: u64,
    speaks_links: bool,
) -> Result<OpenedLink, LinkEnding> {
    let began = environment.now();
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
    let connected_in = environment.now().since(began);
    let left = ATTEMPT_TIME.saturating_sub(connected_in);
    let greeted = environment.timeout(left.max(MIN_ANSWER_TIME), greeting);
    greeted
        .await
        .unwrap_or(Err(Refusal::Silence))
        .map_err(|refusal| match (refusal, speaks_links) {
            (Refusal::Ending(ending), _) => ending,
            (Refusal::Silence, true) => unreachable(address, "it does not answer", None),
            (Refusal::Silence, false) => LinkEnding::NoLink,
        })
}

/// Why a peer that was reached has not opened a link.
enum Refusal {
    /// It says nothing, or has closed the connection.
    Silence,
    Ending(LinkEnding),
}

impl From<LinkEnding> for Refusal {
    fn from(ending: LinkEnding) -> Self {
        Self::Ending(ending)
    }
}

async fn greet(
    mut transport: Transport,
    address: &Address,
    own: &HelloFrame<'_>,
) -> Result<OpenedLink, Refusal> {
    let mut bytes = BytesMut::from(&GREETING[..]);
    // It fails only if the namespace is too long, which none is.
    let _ = own.encode(&mut bytes);
    if transport.write_all(&bytes).await.is_err() {
        return Err(Refusal::Silence);
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
            _ => return Err(Refusal::Silence),
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
                Err(refused(address, error.reason()))
            }
        },
        LinkFrame::GoAway(refusal) => {
            debug!(reason = %refusal.reason, "a peer refuses a link");
            Err(refused(address, refusal.reason))
        }
        _ => Err(LinkEnding::NoLink),
    }
}

/// Returns how an attempt ends that one of the sides refuses.
fn refused(address: &Address, reason: GoAwayReason) -> LinkEnding {
    match reason {
        // The address belongs to somebody else: gRPC must not help, and the name is looked up
        // again.
        GoAwayReason::Incarnation | GoAwayReason::Namespace | GoAwayReason::Untrusted => {
            unreachable(address, &reason.to_string(), None)
        }
        reason => LinkEnding::of(reason, reason.to_string()),
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
