//! A single call of an honest caller.

use std::time::Duration;

use actorgrid::{ActorStart, Client, EchoMsg, Registry, RequestError, RequestErrorKind};

use crate::peer::{ECHO, NAMESPACE};

/// The deadline of calls that involve etcd, too: far longer than they take.
const FRESH_DEADLINE: Duration = Duration::from_secs(10);

/// The kinds of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum CallKind {
    /// A small request on an existing connection.
    Small,
    /// A request of 64 KiB.
    Medium,
    /// A request of 1 MiB.
    Large,
    /// A small request of a client that first has to connect.
    Fresh,
    /// The start of an actor, followed by its stop.
    Start,
}

impl CallKind {
    /// Returns the kind of the call with this number; 200 calls are sent per second.
    pub(super) fn of_number(number: u64) -> Self {
        match number % 200 {
            7 => Self::Fresh,
            57 => Self::Start,
            107 | 157 => Self::Large,
            slot if slot % 20 == 3 => Self::Medium,
            _ => Self::Small,
        }
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Medium => "64 KiB",
            Self::Large => "1 MiB",
            Self::Fresh => "new connection",
            Self::Start => "start",
        }
    }
}

/// The route of calls to the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HonestRoute {
    /// The link, which clients of the library use by default.
    Link,
    /// gRPC alone.
    Grpc,
}

impl HonestRoute {
    /// Both routes.
    pub const ALL: [Self; 2] = [Self::Link, Self::Grpc];

    /// Returns the name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Link => "link",
            Self::Grpc => "gRPC",
        }
    }
}

/// The reason why a call failed.
#[derive(Debug)]
pub(super) struct CallError {
    pub(super) is_busy: bool,
    pub(super) text: String,
}

impl From<RequestError> for CallError {
    fn from(error: RequestError) -> Self {
        Self {
            is_busy: error.kind() == RequestErrorKind::Busy,
            text: format!("{}: {error}", error.kind().as_str()),
        }
    }
}

/// The caller, and the mailboxes that it calls.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub(super) registry: Registry,
    pub(super) client: Client,
    pub(super) peer: String,
    pub(super) route: HonestRoute,
}

impl Caller {
    pub(super) async fn call(&self, kind: CallKind, number: u64) -> Result<(), CallError> {
        match kind {
            CallKind::Small => echo(&self.client, 50).await,
            CallKind::Medium => echo(&self.client, 64 * 1_024).await,
            CallKind::Large => echo(&self.client, 1 << 20).await,
            CallKind::Fresh => {
                let client = Client::builder(NAMESPACE, self.registry.clone())
                    .deadline(FRESH_DEADLINE)
                    .link(self.route == HonestRoute::Link)
                    .build();
                let echoed = echo(&client, 50).await;
                client.close().await;
                echoed
            }
            CallKind::Start => {
                let name = format!("honest-{number}");
                let start = ActorStart::new(&name, ECHO);
                self.client
                    .start(self.peer.as_str(), start)
                    .deadline(FRESH_DEADLINE)
                    .await?;
                Ok(self.client.stop(name.as_str()).await?)
            }
        }
    }
}

async fn echo(client: &Client, bytes: usize) -> Result<(), CallError> {
    let text = "x".repeat(bytes);
    let reply = client.request(ECHO, EchoMsg::new(text)).await?;
    if reply.msg.len() == bytes {
        Ok(())
    } else {
        Err(CallError {
            is_busy: false,
            text: format!("an echo of {bytes} bytes has {}", reply.msg.len()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_calls_are_small_and_each_second_has_some_of_each_kind() {
        let count = |kind| {
            let numbers = 0..200;
            numbers
                .filter(|number| CallKind::of_number(*number) == kind)
                .count()
        };
        assert_eq!(count(CallKind::Fresh), 1);
        assert_eq!(count(CallKind::Start), 1);
        assert_eq!(count(CallKind::Large), 2);
        assert_eq!(count(CallKind::Medium), 10);
        assert_eq!(count(CallKind::Small), 186);
    }
}
