//! A proxy that passes HTTP/2 on, and treats links as a setting says.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio_util::sync::CancellationToken;

use crate::address::Address;
use crate::environment::{Environment, Socket};
use crate::route::link::{
    GREETING, GoAwayFrame, GoAwayReason, HelloFrame, HelloLimits, InternLimits, LINK_VERSIONS,
    LinkFrame,
};

/// The beginning of HTTP/2, as long as the greeting of a link.
const PREFACE: [u8; 8] = *b"PRI * HT";
/// The first bytes of a server of HTTP/2 that reads something else: SETTINGS without any, then
/// GOAWAY with a protocol error.
const HTTP2_GOAWAY: &[u8] = b"\0\0\0\x04\0\0\0\0\0\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\x01";
const HTTP1_ERROR: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";

/// The treatment of a connection that begins with the greeting of a link.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum ToLinks {
    Passes,
    /// As does a server that reads something else than HTTP/2.
    Closes,
    IsSilent,
    /// SETTINGS and GOAWAY of HTTP/2, then the end.
    AnswersInHttp2,
    AnswersInHttp1,
    /// The SETTINGS of HTTP/2, and nothing else: it still waits for the preface.
    GreetsInHttp2,
    GoesAway(GoAwayReason),
    /// Answers as a process of this incarnation and namespace does.
    IsAnother(u64, &'static str),
}

/// A proxy in front of a server.
pub(super) struct Http2Proxy {
    pub(super) address: Address,
    shared: Arc<Shared>,
}

struct Shared {
    environment: Environment,
    server: Address,
    to_links: Mutex<ToLinks>,
    greetings: AtomicUsize,
    /// Ends the HTTP/2 connections, and the links.
    ends: Mutex<[CancellationToken; 2]>,
}

impl Http2Proxy {
    pub(super) async fn of(environment: &Environment, server: Address, to_links: ToLinks) -> Self {
        let mut listener = environment
            .listen("127.0.0.1:0".parse().unwrap())
            .await
            .unwrap();
        let address = listener.local_addr().unwrap().try_into().unwrap();
        let shared = Arc::new(Shared {
            environment: environment.clone(),
            server,
            to_links: Mutex::new(to_links),
            greetings: AtomicUsize::new(0),
            ends: Mutex::default(),
        });
        let proxy = Arc::clone(&shared);
        environment.spawn(async move {
            while let Ok(client) = listener.accept().await {
                let proxy = Arc::clone(&proxy);
                proxy.environment.clone().spawn(proxy.serve(client));
            }
        });
        Self { address, shared }
    }

    pub(super) fn set(&self, to_links: ToLinks) {
        *self.shared.to_links.lock().unwrap() = to_links;
    }

    /// How many connections have begun with the greeting of a link.
    pub(super) fn greetings(&self) -> usize {
        self.shared.greetings.load(Ordering::Relaxed)
    }

    pub(super) fn cut_http2(&self) {
        std::mem::take(&mut self.shared.ends.lock().unwrap()[0]).cancel();
    }

    pub(super) fn cut_links(&self) {
        std::mem::take(&mut self.shared.ends.lock().unwrap()[1]).cancel();
    }
}

impl Shared {
    async fn serve(self: Arc<Self>, mut client: Socket) {
        let mut first = [0; GREETING.len()];
        if client.read_exact(&mut first).await.is_err() {
            return;
        }
        let [of_http2, of_links] = self.ends.lock().unwrap().clone();
        if first == PREFACE {
            of_http2
                .run_until_cancelled(self.pass(client, &first))
                .await;
        } else if first == GREETING {
            self.greetings.fetch_add(1, Ordering::Relaxed);
            let to_links = *self.to_links.lock().unwrap();
            match to_links {
                ToLinks::Passes => {
                    of_links
                        .run_until_cancelled(self.pass(client, &first))
                        .await;
                }
                answer => refuse(client, answer).await,
            }
        }
    }

    async fn pass(&self, mut client: Socket, first: &[u8]) {
        let mut server = self.environment.connect(&self.server).await.unwrap();
        if server.write_all(first).await.is_ok() {
            let _ = copy_bidirectional(&mut client, &mut server).await;
        }
    }
}

async fn refuse(mut client: Socket, answer: ToLinks) {
    let mut bytes = BytesMut::new();
    let is_kept = match answer {
        ToLinks::Passes | ToLinks::Closes => false,
        ToLinks::IsSilent => true,
        ToLinks::AnswersInHttp2 => {
            bytes.extend_from_slice(HTTP2_GOAWAY);
            false
        }
        ToLinks::AnswersInHttp1 => {
            bytes.extend_from_slice(HTTP1_ERROR);
            false
        }
        ToLinks::GreetsInHttp2 => {
            bytes.extend_from_slice(&HTTP2_GOAWAY[..9]);
            true
        }
        ToLinks::GoesAway(reason) => {
            let frame = GoAwayFrame {
                last_sequence: 0,
                reason,
                text: "",
            };
            frame.encode(&mut bytes).unwrap();
            false
        }
        ToLinks::IsAnother(incarnation, namespace) => {
            server_hello(incarnation, namespace)
                .encode(&mut bytes)
                .unwrap();
            true
        }
    };
    if client.write_all(&bytes).await.is_ok() && is_kept {
        let _ = client.read_to_end(&mut Vec::new()).await;
    }
}

/// The `Hello` of a server with small limits.
pub(super) fn server_hello(incarnation: u64, namespace: &str) -> LinkFrame<'_> {
    LinkFrame::Hello(HelloFrame {
        versions: LINK_VERSIONS,
        features: 0,
        required: 0,
        incarnation,
        client: None,
        limits: HelloLimits {
            max_message_bytes: 1000,
            credit_bytes: 1024 * 1024,
            credit_requests: 100,
            max_unanswered: 100,
            names: InternLimits::default(),
            types: InternLimits::default(),
        },
        namespace,
    })
}
