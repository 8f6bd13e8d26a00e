//! The behaviour that every route must have, tested over each of them.

mod house;

use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use tokio::sync::watch;

use super::admission::Serving;
use super::call::{Call, Route};
use super::caller::Caller;
use super::calling::{PeerRoute, Pool, PoolConfig};
use super::directory::{Directory, deliver};
use super::headers::Headers;
use super::link::announced_link;
use super::local::{LocalRequest, LocalRoute};
use super::local_call::LocalOutcome;
use super::local_calls::CallDeadlines;
use super::meta::{Meta, RequestId};
use super::serving::{ProcessServer, ServerConfig, WireBounds};
use crate::address::Address;
use crate::code::Code;
use crate::environment::Deadline;
use crate::environment::{Environment, Simulation};
use crate::error::RequestErrorKind as Kind;
use crate::error::{Executed, RequestError};
use crate::message::{Ack, Body, EchoMsg, Message, Payload};
use crate::name::Name;
use crate::name::Namespace;
use crate::registry::{Capabilities, Incarnation};
use crate::request::{Failure, MessageSet, Request};
use house::Deciding;
pub(super) use house::House;

pub(super) const LIMIT: usize = 100_000;
const INCARNATION: Incarnation = Incarnation::new(7);

#[derive(Clone)]
enum AnyRoute {
    Local(LocalRoute),
    /// The same, as a request goes that needs no more than one try.
    Moved(LocalRoute),
    Peer(PeerRoute),
}

impl Route for AnyRoute {
    async fn call(&self, call: &mut Call) -> Result<Body, RequestError> {
        match self {
            Self::Local(route) => route.call(call).await,
            Self::Moved(route) => moved(route, call).await,
            Self::Peer(route) => {
                // Over a link it is mandatory.
                call.meta.token.get_or_insert("1:1".parse().unwrap());
                route.call(call).await
            }
        }
    }
}

async fn moved(route: &LocalRoute, call: &mut Call) -> Result<Body, RequestError> {
    let body = call.take_body().unwrap();
    let (mut begun, mut without_place) = (None, None);
    let mut request = Some(LocalRequest {
        receiver: call.receiver.as_str(),
        body,
        meta: call.meta.clone(),
    });
    let outcome = poll_fn(|cx| {
        if let Some(request) = request.take() {
            let resolved = route.resolve(request.receiver);
            let time = request.meta.deadline.remaining();
            let Some(reserved) = route.reserve(&request.meta, time, cx) else {
                without_place = Some(request);
                return Poll::Ready(None);
            };
            match route.begin(resolved, reserved, request) {
                Ok(call) => begun = Some(call),
                Err(refusal) => return Poll::Ready(Some(Err(refusal))),
            }
        }
        begun.as_mut().unwrap().poll(cx).map(Ok).map(Some)
    });
    let Some(outcome) = outcome.await else {
        // It has too little time.
        call.body = without_place.map(|request| request.body);
        return route.call(call).await;
    };
    let (answer, body) = match outcome {
        Ok(LocalOutcome::Replied(reply)) => (Ok(reply), None),
        Ok(LocalOutcome::Failed { error, body }) => (Err(error), body),
        Ok(LocalOutcome::Overdue(executed)) => (Err(RequestError::deadline(executed)), None),
        Err(refusal) => (Err(refusal.error), refusal.body),
    };
    if body.is_some() {
        call.body = body;
    }
    call.executed = answer
        .as_ref()
        .map_or_else(RequestError::executed, |_| Executed::Yes);
    answer
}

struct World {
    environment: Environment,
    house: Arc<House>,
    route: AnyRoute,
    process: Option<(ProcessServer, Pool)>,
    /// Ends calls of the local route while it exists.
    _deadlines: Option<CallDeadlines>,
}

pub(super) fn namespace() -> Namespace {
    Namespace::new("test").unwrap()
}

pub(super) async fn serve(
    environment: &Environment,
    house: &Arc<House>,
    port: u16,
) -> (ProcessServer, Address) {
    let serving = watch::Sender::new(None).subscribe();
    serve_as(environment, house, port, serving).await
}

pub(super) async fn serve_as(
    environment: &Environment,
    house: &Arc<House>,
    port: u16,
    serving: Serving,
) -> (ProcessServer, Address) {
    let config = ServerConfig {
        namespace: namespace(),
        max_message_bytes: LIMIT,
        bounds: WireBounds::default(),
        incarnation: Some(INCARNATION),
    };
    serve_with(environment, house, port, serving, config).await
}

pub(super) async fn serve_with(
    environment: &Environment,
    house: &Arc<House>,
    port: u16,
    serving: Serving,
    config: ServerConfig,
) -> (ProcessServer, Address) {
    let address = format!("127.0.0.1:{port}").parse().unwrap();
    let listener = environment.listen(address).await.unwrap();
    let address = listener.local_addr().unwrap().try_into().unwrap();
    let directory = Arc::clone(house) as Arc<dyn Directory>;
    let server = ProcessServer::start(environment.clone(), listener, directory, serving, config);
    (server, address)
}

pub(super) fn pool(environment: &Environment) -> Pool {
    pool_with(environment, LIMIT)
}

pub(super) fn pool_with(environment: &Environment, max_message_bytes: usize) -> Pool {
    let config = PoolConfig {
        mailbox_prefix: format!("{}.mailbox.", namespace()),
        max_message_bytes,
        connections_per_peer: 1,
        link_namespace: Some(namespace().to_string()),
    };
    Pool::new(environment.clone(), config)
}

impl World {
    fn local() -> Self {
        let house: Arc<House> = Arc::default();
        let directory = Arc::clone(&house) as Arc<dyn Directory>;
        let environment = Simulation::new(1).environment();
        let (route, deadlines) = LocalRoute::start(directory, LIMIT, &environment);
        Self {
            route: AnyRoute::Local(route),
            environment,
            house,
            process: None,
            _deadlines: Some(deadlines),
        }
    }

    fn moved() -> Self {
        let world = Self::local();
        let AnyRoute::Local(route) = world.route else {
            unreachable!()
        };
        Self {
            route: AnyRoute::Moved(route),
            ..world
        }
    }

    async fn process(environment: Environment) -> Self {
        Self::peer(environment, Capabilities::ACTORGRID).await
    }

    async fn link(environment: Environment) -> Self {
        let link = Some(announced_link(INCARNATION));
        Self::peer(environment, Capabilities::ACTORGRID.with_link(link)).await
    }

    async fn peer(environment: Environment, capabilities: Capabilities) -> Self {
        let house: Arc<House> = Arc::default();
        let (server, address) = serve(&environment, &house, 0).await;
        let pool = pool(&environment);
        Self {
            route: AnyRoute::Peer(pool.route(&address, capabilities)),
            environment,
            house,
            process: Some((server, pool)),
            _deadlines: None,
        }
    }

    async fn end(self) {
        if let Some((server, pool)) = self.process {
            pool.close().await;
            server.shutdown(Duration::from_secs(5)).await;
        }
    }

    async fn refused(&self, name: &str, message: impl Message) -> (Call, RequestError) {
        let mut call = call(name, message);
        let error = self.route.call(&mut call).await.unwrap_err();
        assert_eq!(error.executed(), Executed::No, "{error:?}");
        assert_eq!(call.executed, Executed::No, "{error:?}");
        assert!(call.body.is_some(), "{error:?}");
        (call, error)
    }
}

pub(super) fn call(receiver: &str, message: impl Message) -> Call {
    Call {
        receiver: Name::new(receiver).unwrap(),
        meta: Meta {
            id: RequestId(1 << 64 | 2),
            deadline: Deadline::after(Duration::from_secs(20)),
            token: None,
            headers: Headers::default(),
            caller: Some(Caller::local()),
        },
        body: Some(Body::value(message)),
        keep: true,
        executed: Executed::No,
        from_handler: false,
    }
}

pub(super) fn echo(body: Body) -> EchoMsg {
    body.into_message().ok().unwrap()
}

macro_rules! over_all_routes {
    ($($name:ident)*) => {
        mod local {
            $(#[tokio::test(start_paused = true)]
            async fn $name() {
                super::$name(super::World::local()).await;
            })*
        }
        mod local_by_value {
            $(#[tokio::test(start_paused = true)]
            async fn $name() {
                super::$name(super::World::moved()).await;
            })*
        }
        mod local_by_value_on_threads {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(super::World::moved()).await;
            })*
        }
        mod process_in_memory {
            $(#[tokio::test(start_paused = true)]
            async fn $name() {
                let environment = super::Simulation::new(1).environment();
                super::$name(super::World::process(environment).await).await;
            })*
        }
        mod process_over_tcp {
            $(#[tokio::test]
            async fn $name() {
                let environment = super::Environment::real();
                super::$name(super::World::process(environment).await).await;
            })*
        }
        mod process_over_tcp_on_threads {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let environment = super::Environment::real();
                super::$name(super::World::process(environment).await).await;
            })*
        }
        mod link_in_memory {
            $(#[tokio::test(start_paused = true)]
            async fn $name() {
                let environment = super::Simulation::new(1).environment();
                super::$name(super::World::link(environment).await).await;
            })*
        }
        mod link_over_tcp {
            $(#[tokio::test]
            async fn $name() {
                let environment = super::Environment::real();
                super::$name(super::World::link(environment).await).await;
            })*
        }
        mod link_over_tcp_on_threads {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let environment = super::Environment::real();
                super::$name(super::World::link(environment).await).await;
            })*
        }
    };
}

over_all_routes! {
    brings_the_reply
    refusals_are_typed_and_keep_the_message
    an_application_error_is_an_answer_whatever_it_says
    an_error_brings_its_code_and_its_detail
    a_dropped_request_has_no_reply
    a_reply_over_the_limit_is_reported
    the_limit_is_exact
    metadata_arrives
    the_receiver_sees_that_the_caller_has_gone
    waits_while_the_registration_is_decided
}

async fn brings_the_reply(world: World) {
    world.house.echo("a");
    for text in ["", "hello", &"x".repeat(50_000)] {
        let mut call = call("a", EchoMsg::new(text));
        let reply = world.route.call(&mut call).await.unwrap();
        assert_eq!(echo(reply).msg, text);
    }
    let calls = (0..200).map(|i| {
        let route = world.route.clone();
        async move {
            let mut call = call("a", EchoMsg::new(i.to_string()));
            assert_eq!(
                echo(route.call(&mut call).await.unwrap()).msg,
                i.to_string()
            );
        }
    });
    futures_util::future::join_all(calls).await;
    world.end().await;
}

async fn refusals_are_typed_and_keep_the_message(world: World) {
    world.house.open(
        "busy",
        |incoming| Err(incoming.refuse(RequestError::busy())),
    );
    world.house.open("closed", |incoming| {
        Err(incoming.refuse(RequestError::mailbox_closed()))
    });
    world
        .house
        .open("newer", |incoming| match incoming.meta().token {
            Some(token) if token == "1:9".parse().unwrap() => Ok(()),
            _ => Err(incoming.refuse(RequestError::not_held("newer"))),
        });
    world.house.echo("echo");
    for (name, kind) in [
        ("busy", Kind::Busy),
        ("closed", Kind::MailboxClosed),
        ("newer", Kind::NotHeld),
        ("nobody", Kind::NotHeld),
    ] {
        let (mut call, error) = world.refused(name, EchoMsg::new("again")).await;
        assert_eq!(error.kind(), kind);
        assert!(error.is_retryable());
        call.receiver = Name::new("echo").unwrap();
        assert_eq!(
            echo(world.route.call(&mut call).await.unwrap()).msg,
            "again"
        );
    }
    let (_, error) = world.refused("echo", Ack {}).await;
    assert_eq!(error.kind(), Kind::UnknownMessage);
    let broken = Payload::new(EchoMsg::WIRE_NAME, &b"\x0a\xff"[..]);
    let (_, error) = world.refused("echo", broken).await;
    assert_eq!(error.kind(), Kind::InvalidMessage);
    world.end().await;
}

async fn an_application_error_is_an_answer_whatever_it_says(world: World) {
    world.house.open("failing", |incoming| {
        if let Some(request) = Request::<EchoMsg>::receive(incoming) {
            let text = request.message().msg.clone();
            let _ = request.fail(text);
        }
        Ok(())
    });
    for text in [
        "grid: unknown mailbox",
        "grid: receiver busy",
        "grid: context finished",
        "codec: unregistered message type",
        "100% naïve\n\u{7f}",
    ] {
        let mut call = call("failing", EchoMsg::new(text));
        let error = world.route.call(&mut call).await.unwrap_err();
        assert_eq!((error.kind(), error.text()), (Kind::Application, text));
        assert_eq!(error.code(), Some(Code::Unknown));
        assert_eq!(
            (error.executed(), call.executed),
            (Executed::Yes, Executed::Yes)
        );
    }
    let mut call = call("failing", EchoMsg::new("ü".repeat(LIMIT / 2 - 10)));
    let error = world.route.call(&mut call).await.unwrap_err();
    assert_eq!(error.text(), "ü".repeat(crate::error::MAX_ERROR_TEXT / 2));
    world.end().await;
}

async fn an_error_brings_its_code_and_its_detail(world: World) {
    world.house.open("failing", |incoming| {
        if let Some(request) = Request::<EchoMsg>::receive(incoming) {
            let (_, responder) = request.into_parts();
            let failure = Failure::new("broken").detail(&EchoMsg::new("detail"));
            let _ = responder.fail(failure.code(Code::DataLoss));
        }
        Ok(())
    });
    let mut call = call("failing", EchoMsg::default());
    let error = world.route.call(&mut call).await.unwrap_err();
    assert_eq!(error.code(), Some(Code::DataLoss));
    assert_eq!(error.detail(), Some(EchoMsg::new("detail")));
    assert_eq!(error.detail::<Ack>(), None);
    world.end().await;
}

async fn a_dropped_request_has_no_reply(world: World) {
    world.house.open("dropping", |incoming| {
        if let Some(mut request) = Request::<EchoMsg>::receive(incoming) {
            request.pending().hand_out();
        }
        Ok(())
    });
    let mut call = call("dropping", EchoMsg::default());
    let error = world.route.call(&mut call).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.executed()),
        (Kind::NoReply, Executed::Maybe)
    );
    assert_eq!(call.executed, Executed::Maybe);
    world.end().await;
}

async fn a_reply_over_the_limit_is_reported(world: World) {
    world.house.open("large", |incoming| {
        if let Some(request) = Request::<EchoMsg>::receive(incoming) {
            let _ = request.respond(EchoMsg::new("x".repeat(LIMIT)));
        }
        Ok(())
    });
    let mut call = call("large", EchoMsg::default());
    let error = world.route.call(&mut call).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.executed()),
        (Kind::ReplyTooLarge, Executed::Yes)
    );
    world.end().await;
}

async fn the_limit_is_exact(world: World) {
    world.house.echo("a");
    // The text's tag and its length take 4 bytes.
    let exact = EchoMsg::new("x".repeat(LIMIT - 4));
    assert_eq!(Message::encoded_len(&exact), LIMIT);
    let mut largest = call("a", exact.clone());
    assert_eq!(echo(world.route.call(&mut largest).await.unwrap()), exact);
    let (_, error) = world
        .refused("a", EchoMsg::new("x".repeat(LIMIT - 3)))
        .await;
    assert_eq!(error.kind(), Kind::MessageTooLarge);
    world.end().await;
}

async fn metadata_arrives(world: World) {
    let mut queue = world.house.queue("a");
    let mut sent = call("a", EchoMsg::default());
    sent.meta.token = Some("2a:17".parse().unwrap());
    sent.meta.headers.add("traceparent", "00-1").unwrap();
    let others = [
        ("x-user", "naïve"),
        ("baggage", "user=Jürgen"),
        ("tracestate", "a\tb"),
    ];
    for (name, value) in others {
        sent.meta.headers.add(name, value).unwrap();
    }
    let route = world.route.clone();
    let task = world.environment.spawn(async move {
        let answer = route.call(&mut sent).await;
        (answer.map(echo), sent.meta)
    });
    let request = queue.recv().await.unwrap();
    assert_eq!(request.id(), RequestId(1 << 64 | 2));
    assert_eq!(request.expected_token(), Some("2a:17".parse().unwrap()));
    let headers: Vec<_> = request.headers().collect();
    assert_eq!(headers[0], ("traceparent", "00-1"));
    assert_eq!(headers[1..], others);
    let left = request.deadline().remaining();
    assert!(
        left > Duration::from_secs(15) && left < Duration::from_secs(21),
        "{left:?}"
    );
    request.respond(EchoMsg::new("yes")).unwrap();
    assert_eq!(task.await.unwrap().0.unwrap().msg, "yes");
    world.end().await;
}

async fn the_receiver_sees_that_the_caller_has_gone(world: World) {
    let mut queue = world.house.queue("a");
    let route = world.route.clone();
    let task = world.environment.spawn(async move {
        let _ = route.call(&mut call("a", EchoMsg::default())).await;
    });
    let mut request = queue.recv().await.unwrap();
    assert!(!request.is_abandoned());
    task.abort();
    request.abandoned().await;
    assert!(request.deadline().remaining() > Duration::from_secs(5));
    assert!(request.is_abandoned());
    world.end().await;
}

async fn waits_while_the_registration_is_decided(world: World) {
    let deciding = Arc::new(Deciding(Mutex::new(Some(Vec::new()))));
    let names = &world.house.deciding;
    let name = "a".to_owned();
    names.lock().unwrap().insert(name, deciding.clone());
    let mut early = call("a", EchoMsg::new("early"));
    let soon = world
        .environment
        .timeout(Duration::from_millis(50), world.route.call(&mut early));
    assert!(soon.await.is_none());
    let waiting = || deciding.0.lock().unwrap().as_ref().map(Vec::len);
    while waiting() != Some(0) {
        tokio::task::yield_now().await;
    }
    let route = world.route.clone();
    let task = world.environment.spawn(async move {
        route
            .call(&mut call("a", EchoMsg::new("late")))
            .await
            .map(echo)
    });
    while waiting() != Some(1) {
        tokio::task::yield_now().await;
    }
    world.house.echo("a");
    names.lock().unwrap().clear();
    let waiting = deciding.0.lock().unwrap().take().unwrap();
    for incoming in waiting {
        deliver(&*world.house, "a", incoming).unwrap();
    }
    assert_eq!(task.await.unwrap().unwrap().msg, "late");
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_message_comes_back_when_its_request_is_refused_after_it_was_queued() {
    let world = World::local();
    world.house.open("lost", |incoming| {
        incoming.give_back(RequestError::not_held("lost"));
        Ok(())
    });
    let mut call = call("lost", EchoMsg::new("again"));
    call.keep = false;
    let error = world.route.call(&mut call).await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotHeld);
    assert_eq!(
        (error.executed(), call.executed),
        (Executed::No, Executed::No)
    );
    assert_eq!(echo(call.body.unwrap()).msg, "again");
}
