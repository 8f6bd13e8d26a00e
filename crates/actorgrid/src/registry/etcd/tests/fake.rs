//! A fake etcd without keys in a simulated network, which tests can delay, freeze, or make send
//! malformed replies.

use std::collections::VecDeque;
use std::sync::atomic::AtomicUsize;
use std::sync::{Mutex, PoisonError};

use h2::server::SendResponse;
use http::{HeaderMap, HeaderValue};
use prost::Message;
use tokio::sync::watch;

use super::*;
use crate::environment::{Socket, Timestamp};
use crate::wire::etcd::event::EventType;
use crate::wire::etcd::{
    AuthenticateResponse, Event, KeyValue, LeaseGrantResponse, LeaseKeepAliveResponse,
    LeaseRevokeResponse, LeaseTimeToLiveResponse, RangeResponse, StatusResponse, TxnResponse,
    WatchResponse,
};

const CLUSTER: u64 = 7;

/// How a fake treats its clients.
#[derive(Debug, Clone, Default)]
pub(super) struct Behaviour {
    /// Whether connections are closed as soon as they are accepted.
    pub(super) refuses: bool,
    /// Whether reads and writes have stopped.
    pub(super) frozen: bool,
    /// Whether requests are left unanswered while connections stay alive.
    pub(super) stuck: bool,
    /// The delay of each reply.
    pub(super) delay: Duration,
    /// The method that is answered with an error whose details are not base64, and whether the
    /// error follows a reply.
    pub(super) poisons: Option<(&'static str, bool)>,
    /// The number of changes that a watch reports 6 s after it was opened, each in a separate
    /// message.
    pub(super) burst: i64,
}

pub(super) struct FakeEtcd {
    pub(super) endpoint: String,
    behaviour: watch::Sender<Behaviour>,
    state: Arc<FakeState>,
}

#[derive(Default)]
struct FakeState {
    requests: AtomicUsize,
    /// When connections were accepted.
    accepted: Mutex<VecDeque<Timestamp>>,
}

impl FakeEtcd {
    pub(super) async fn start(environment: &Environment) -> Self {
        let address = "127.0.0.1:0".parse().unwrap();
        let mut listener = environment.listen(address).await.unwrap();
        let endpoint = listener.local_addr().unwrap().to_string();
        let (behaviour, behaves) = watch::channel(Behaviour::default());
        let state = Arc::<FakeState>::default();
        let (environment, shared) = (environment.clone(), Arc::clone(&state));
        let spawner = environment.clone();
        drop(spawner.spawn(async move {
            while let Ok(socket) = listener.accept().await {
                shared.lock().push_back(environment.now());
                if !behaves.borrow().refuses {
                    let serving = serve(
                        environment.clone(),
                        socket,
                        behaves.clone(),
                        Arc::clone(&shared),
                    );
                    drop(environment.spawn(serving));
                }
            }
        }));
        Self {
            endpoint,
            behaviour,
            state,
        }
    }

    pub(super) fn behave(&self, change: impl FnOnce(&mut Behaviour)) {
        self.behaviour.send_modify(change);
    }

    /// When connections were accepted.
    pub(super) fn accepted(&self) -> Vec<Timestamp> {
        self.state.lock().iter().copied().collect()
    }

    pub(super) fn requests(&self) -> usize {
        self.state.requests.load(Ordering::Relaxed)
    }
}

impl FakeState {
    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Timestamp>> {
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn serve(
    environment: Environment,
    socket: Socket,
    mut behaves: watch::Receiver<Behaviour>,
    state: Arc<FakeState>,
) {
    let _ = behaves.wait_for(|behaviour| !behaviour.frozen).await;
    let Ok(mut connection) = h2::server::handshake(socket).await else {
        return;
    };
    let mut changes = behaves.clone();
    loop {
        let _ = behaves.wait_for(|behaviour| !behaviour.frozen).await;
        let accepted = tokio::select! {
            biased;
            changed = changes.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
            accepted = connection.accept() => accepted,
        };
        let Some(Ok((request, respond))) = accepted else {
            return;
        };
        state.requests.fetch_add(1, Ordering::Relaxed);
        let path = request.uri().path().to_owned();
        let (method, behaviour) = (path.rsplit('/').next(), behaves.borrow().clone());
        let method = method.unwrap_or_default().to_owned();
        let answering = answer(environment.clone(), method, behaviour, respond);
        drop(environment.spawn(async move {
            let mut body = request.into_body();
            let reading = async {
                while let Some(Ok(data)) = body.data().await {
                    let _ = body.flow_control().release_capacity(data.len());
                }
            };
            tokio::join!(biased; reading, answering);
        }));
    }
}

async fn answer(
    environment: Environment,
    method: String,
    behaviour: Behaviour,
    mut respond: SendResponse<Bytes>,
) {
    if behaviour.stuck && method != "Status" {
        let _ = std::future::poll_fn(|cx| respond.poll_reset(cx)).await;
        return;
    }
    environment.sleep(behaviour.delay).await;
    let poisons = behaviour
        .poisons
        .filter(|(poisoned, _)| *poisoned == method);
    let head = || http::Response::builder().header("content-type", "application/grpc");
    if let Some((_, false)) = poisons {
        let mut head = head().body(()).unwrap();
        head.headers_mut().extend(poisonous());
        let _ = respond.send_response(head, true);
        return;
    }
    let Ok(mut stream) = respond.send_response(head().body(()).unwrap(), false) else {
        return;
    };
    let _ = stream.send_data(framed(message(&method)), false);
    let trailers = match poisons {
        Some(_) => poisonous(),
        None if method == "Watch" => {
            if behaviour.burst > 0 {
                environment.sleep(Duration::from_secs(6)).await;
            }
            for revision in 1..=behaviour.burst {
                let _ = stream.send_data(framed(deletion(revision)), false);
            }
            let _ = std::future::poll_fn(|cx| stream.poll_reset(cx)).await;
            return;
        }
        None => HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]),
    };
    let _ = stream.send_trailers(trailers);
}

fn framed(message: Vec<u8>) -> Bytes {
    let mut framed = vec![0];
    framed.extend((message.len() as u32).to_be_bytes());
    framed.extend(message);
    framed.into()
}

fn deletion(revision: i64) -> Vec<u8> {
    let mut message = WatchResponse::decode(&*message("Watch")).unwrap();
    message.created = false;
    message.events.push(Event {
        r#type: EventType::Delete.into(),
        kv: Some(KeyValue {
            key: "k".into(),
            mod_revision: revision,
            ..KeyValue::default()
        }),
    });
    message.encode_to_vec()
}

fn poisonous() -> HeaderMap {
    [("grpc-status", "14"), ("grpc-status-details-bin", "%%%")]
        .into_iter()
        .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
        .collect()
}

#[allow(clippy::needless_update)] // some replies have no other fields
fn message(method: &str) -> Vec<u8> {
    let header = Some(ResponseHeader {
        cluster_id: CLUSTER,
        revision: 1,
        ..ResponseHeader::default()
    });
    macro_rules! reply {
        ($reply:ident { $($field:ident: $value:expr),* }) => {
            $reply { header, $($field: $value,)* ..$reply::default() }.encode_to_vec()
        };
    }
    match method {
        "Status" => reply!(StatusResponse {}),
        "Authenticate" => reply!(AuthenticateResponse {
            token: "token".to_owned()
        }),
        "Range" => reply!(RangeResponse {}),
        "Txn" => reply!(TxnResponse { succeeded: true }),
        "LeaseGrant" => reply!(LeaseGrantResponse { id: 1, ttl: 60 }),
        "LeaseKeepAlive" => reply!(LeaseKeepAliveResponse { id: 1, ttl: 60 }),
        "LeaseTimeToLive" => reply!(LeaseTimeToLiveResponse {
            id: 1,
            ttl: 9,
            granted_ttl: 60
        }),
        "LeaseRevoke" => reply!(LeaseRevokeResponse {}),
        "Watch" => reply!(WatchResponse { created: true }),
        method => panic!("unexpected call of {method}"),
    }
}
