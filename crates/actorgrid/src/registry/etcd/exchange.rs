//! Exchanges requests and replies with the cluster, over whichever endpoint works.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_core::future::BoxFuture;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use http::Uri;
use tonic::{Request, Status};

use super::connection::EtcdConnection;
use super::endpoints::Endpoints;
use super::history::{Dated, History};
use super::status::{self, Meaning};
use super::transport::EtcdTransport;
use crate::registry::{RegistryError, RegistryErrorKind};
use crate::token::ClusterId;
use crate::wire::etcd::ResponseHeader;

/// The maximum size of a received message: many times what etcd's own limits on requests and our
/// page size amount to.
pub(super) const MAX_MESSAGE_BYTES: usize = 64 * 1024 * 1024;

/// How long to wait until a request that cannot be sent twice can be sent to one endpoint, before
/// trying another: several round trips.
const READY_WAIT: Duration = Duration::from_millis(500);

/// The cluster that calls are made to.
pub(super) struct Cluster {
    pub(super) endpoints: Endpoints,
    pub(super) id: ClusterId,
    /// Shared with the dedicated handles.
    pub(super) history: Arc<History>,
}

/// Whether a request may be sent again if its outcome is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repetition {
    /// It may not: it changes something.
    Never,
    /// It may be sent to another endpoint: carried out twice, it has the same effect as once.
    Safe,
    /// It may be sent to another endpoint, and changes nothing, so its outcome is never in doubt.
    Read,
}

/// Sends a request and waits for its reply.
pub(super) type SendCall<Q, R> =
    fn(EtcdTransport, Uri, Request<Q>) -> BoxFuture<'static, Result<R, Status>>;

/// A reply with etcd's header.
pub(super) trait Headed {
    fn header(&self) -> Option<&ResponseHeader>;
}

/// The failure of an exchange at one endpoint.
#[derive(Debug)]
pub(super) struct ExchangeFailure {
    pub(super) meaning: Meaning,
    pub(super) error: RegistryError,
}

impl ExchangeFailure {
    fn of(status: &Status) -> Self {
        let meaning = status::meaning(status);
        let error = status::error(&meaning, status.message()).caused_by(status.clone());
        Self { meaning, error }
    }

    fn not_sent(error: RegistryError) -> Self {
        Self {
            meaning: Meaning::NotSent,
            error,
        }
    }

    /// Creates the failure of a request that had no effect in our cluster.
    fn refused(error: RegistryError) -> Self {
        let meaning = Meaning::Refused(error.kind());
        Self { meaning, error }
    }

    /// Whether the request may be sent to another endpoint after this failure.
    fn passes_on(&self, repeat: Repetition) -> bool {
        match self.meaning {
            Meaning::NotSent => true,
            Meaning::Broken | Meaning::Unsettled => repeat != Repetition::Never,
            _ => false,
        }
    }
}

/// The reply to an exchange, and where it came from.
type ExchangeAnswer<R> = Result<(R, AnswerSource), ExchangeFailure>;

/// How to try one endpoint.
#[derive(Debug, Clone, Copy)]
struct EndpointTry {
    index: usize,
    /// Whether to send only once the endpoint is known to be alive, because the request cannot be
    /// sent again.
    is_careful: bool,
    /// Whether to leave the endpoint if it falls silent, as there are others.
    leaves_silence: bool,
}

/// The failure of an exchange over one connection.
struct ConnectionFault {
    /// The meaning for the connection and its endpoint.
    meaning: Meaning,
    failure: ExchangeFailure,
}

impl From<ExchangeFailure> for ConnectionFault {
    fn from(failure: ExchangeFailure) -> Self {
        Self {
            meaning: failure.meaning.clone(),
            failure,
        }
    }
}

impl Cluster {
    /// Tries the endpoints until one replies: one after the other, each at most once. If the
    /// request may be repeated, also tries another endpoint when a reply is late.
    ///
    /// If the future is dropped, the outcome of the request is unknown.
    pub(super) async fn exchange<Q: Clone + Dated, R: Headed>(
        &self,
        repeat: Repetition,
        request: &Q,
        send: SendCall<Q, R>,
    ) -> Result<R, ExchangeFailure> {
        self.exchange_at(repeat, request, send)
            .await
            .map(|(reply, _)| reply)
    }

    /// Like [`exchange`](Self::exchange), but also returns the connection over which the reply
    /// came.
    pub(super) async fn exchange_at<Q: Clone + Dated, R: Headed>(
        &self,
        repeat: Repetition,
        request: &Q,
        send: SendCall<Q, R>,
    ) -> ExchangeAnswer<R> {
        self.history.check().map_err(ExchangeFailure::refused)?;
        let order = self.endpoints.order();
        let answered = match repeat {
            Repetition::Never => self.in_turn(&order, request, send).await,
            Repetition::Safe | Repetition::Read => self.hedged(&order, request, send).await,
        };
        answered.map_err(|failures| sum_up(failures, repeat))
    }

    /// Tries one endpoint after the other, as long as nothing was sent. Endpoints that cannot be
    /// sent to at once are waited for only if no other one accepts the request.
    async fn in_turn<Q: Clone + Dated, R: Headed>(
        &self,
        order: &[usize],
        request: &Q,
        send: SendCall<Q, R>,
    ) -> Result<(R, AnswerSource), Vec<ExchangeFailure>> {
        let patience = (order.len() > 1).then_some(READY_WAIT);
        let mut tries: VecDeque<_> = order.iter().map(|index| (*index, patience)).collect();
        let mut failures = Vec::new();
        while let Some((index, patience)) = tries.pop_front() {
            let one = EndpointTry {
                index,
                is_careful: true,
                leaves_silence: false,
            };
            let ready = self.ready(one);
            let ready = match patience {
                Some(patience) => self.endpoints.environment().timeout(patience, ready).await,
                None => Some(ready.await),
            };
            let Some(connection) = ready else {
                tries.push_back((index, None));
                continue;
            };
            match self.at(one, connection, request, send).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => {
                    let passes_on = failure.passes_on(Repetition::Never);
                    failures.push(failure);
                    if !passes_on {
                        break;
                    }
                }
            }
        }
        Err(failures)
    }

    /// Tries one endpoint, and further ones as soon as it fails or is late.
    async fn hedged<Q: Clone + Dated, R: Headed>(
        &self,
        order: &[usize],
        request: &Q,
        send: SendCall<Q, R>,
    ) -> Result<(R, AnswerSource), Vec<ExchangeFailure>> {
        let leaves_silence = order.len() > 1;
        let attempt = |index, hedge| async move {
            let _hedge = hedge;
            let one = EndpointTry {
                index,
                is_careful: false,
                leaves_silence,
            };
            let connection = self.ready(one).await;
            self.at(one, connection, request, send).await
        };
        let mut rest = order.iter().copied();
        let mut next = rest.next();
        let mut tries = FuturesUnordered::new();
        let mut failures = Vec::new();
        loop {
            if tries.is_empty() {
                let Some(index) = next else {
                    return Err(failures);
                };
                tries.push(attempt(index, None));
                next = rest.next();
            }
            let hedge = async {
                match next {
                    Some(index) => (index, self.endpoints.hedge().await),
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                Some(tried) = tries.next() => match tried {
                    Ok(answer) => return Ok(answer),
                    Err(failure) => {
                        let passes_on = failure.passes_on(Repetition::Safe);
                        failures.push(failure);
                        if !passes_on {
                            return Err(failures);
                        }
                    }
                },
                (index, permit) = hedge => {
                    tries.push(attempt(index, permit));
                    next = rest.next();
                }
            }
        }
    }

    /// Tries one endpoint, starting with this connection.
    async fn at<Q: Clone + Dated, R: Headed>(
        &self,
        one: EndpointTry,
        mut connection: Result<Arc<EtcdConnection>, RegistryError>,
        request: &Q,
        send: SendCall<Q, R>,
    ) -> ExchangeAnswer<R> {
        let mut reconnected = false;
        loop {
            let over = match connection {
                Ok(connection) => connection,
                Err(error) => {
                    self.endpoints.suspect(one.index);
                    return Err(ExchangeFailure::not_sent(error));
                }
            };
            match self.over(one, &over, request, send).await {
                Ok(reply) => {
                    self.endpoints.answered(one.index, &over);
                    let at = AnswerSource {
                        index: one.index,
                        connection: over,
                    };
                    return Ok((reply, at));
                }
                // The connection had ended before, but the endpoint may still be alive.
                Err(fault) if fault.meaning == Meaning::NotSent && !reconnected => {
                    reconnected = true;
                    over.retire();
                    connection = self.ready(one).await;
                }
                Err(fault) => {
                    self.blame(one.index, &over, &fault.meaning);
                    return Err(fault.failure);
                }
            }
        }
    }

    /// Returns a connection over which a request can be sent.
    async fn ready(&self, one: EndpointTry) -> Result<Arc<EtcdConnection>, RegistryError> {
        let connection = self.endpoints.connection(one.index).await?;
        if one.is_careful && !connection.assured().await {
            return self.endpoints.connection(one.index).await;
        }
        Ok(connection)
    }

    /// Sends the request over a connection, and once more if etcd asks for a new token.
    async fn over<Q: Clone + Dated, R: Headed>(
        &self,
        one: EndpointTry,
        connection: &EtcdConnection,
        request: &Q,
        send: SendCall<Q, R>,
    ) -> Result<R, ConnectionFault> {
        let _owed = connection.owe();
        let sending = async {
            let mut authenticated = false;
            loop {
                let mut message = Request::new(request.clone());
                let mut shown = None;
                if let Some(authenticator) = self.endpoints.authenticator() {
                    let pass = authenticator.pass(connection).await;
                    let pass = pass.map_err(|status| unauthenticated(&status))?;
                    pass.show(&mut message);
                    shown = Some((authenticator, pass));
                }
                let known = self.history.greatest();
                let sent = send(connection.transport(), connection.origin(), message).await;
                let failure = match sent {
                    Ok(reply) => {
                        let verified = self.verified(one.index, connection, reply);
                        let current =
                            verified.and_then(|reply| self.current(request, known, reply));
                        return current.map_err(ConnectionFault::from);
                    }
                    Err(status) => ExchangeFailure::of(&status),
                };
                match shown {
                    Some((authenticator, pass))
                        if failure.meaning == Meaning::Token && !authenticated =>
                    {
                        authenticated = true;
                        authenticator.forget(&pass);
                    }
                    _ => return Err(failure.into()),
                }
            }
        };
        let silence = async {
            match one.leaves_silence {
                true => connection.fell_silent().await,
                false => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            sent = sending => sent,
            () = silence => Err(self.silent(one.index).into()),
        }
    }

    fn verified<R: Headed>(
        &self,
        index: usize,
        connection: &EtcdConnection,
        reply: R,
    ) -> Result<R, ExchangeFailure> {
        match self.verify(index, &reply) {
            Ok(()) => Ok(reply),
            Err(error) => {
                connection.retire();
                Err(ExchangeFailure::refused(error))
            }
        }
    }

    /// Compares the revision of a reply with the revision `known` when its request was sent.
    fn current<R: Headed>(
        &self,
        request: &impl Dated,
        known: i64,
        reply: R,
    ) -> Result<R, ExchangeFailure> {
        if let Some(header) = reply.header().filter(|_| request.is_linearizable()) {
            let answered = self.history.answered(known, header.revision);
            answered.map_err(ExchangeFailure::refused)?;
        }
        Ok(reply)
    }

    /// Creates the failure for a silent endpoint. The endpoint may recover, so its connection is
    /// kept until it is known to be dead.
    fn silent(&self, index: usize) -> ExchangeFailure {
        let address = self.endpoints.address(index);
        let text = format!("etcd at {address} is silent");
        ExchangeFailure {
            meaning: Meaning::Unsettled,
            error: RegistryError::new(RegistryErrorKind::Unknown, text),
        }
    }

    /// Applies the consequences of a failure to the endpoint and its connection.
    pub(super) fn blame(&self, index: usize, connection: &EtcdConnection, meaning: &Meaning) {
        match meaning {
            Meaning::NotSent | Meaning::Broken => connection.retire(),
            Meaning::Unsettled => {}
            _ => return,
        }
        self.endpoints.suspect(index);
    }

    pub(super) fn verify(&self, index: usize, reply: &impl Headed) -> Result<(), RegistryError> {
        match reply.header() {
            Some(header) if header.cluster_id != 0 => {
                self.endpoints.verify(index, ClusterId(header.cluster_id))?;
                self.history.reported(header.revision);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// Creates the fault for a failed authentication. The authentication may have been carried out, but
/// the request itself was not sent.
fn unauthenticated(status: &Status) -> ConnectionFault {
    let mut fault = ConnectionFault::from(ExchangeFailure::of(status));
    if fault.failure.error.may_have_executed() {
        let text = format!("etcd did not authenticate the user: {}", status.message());
        let error = RegistryError::new(RegistryErrorKind::Unavailable, text);
        fault.failure = ExchangeFailure::not_sent(error.caused_by(status.clone()));
    }
    fault
}

/// The source of a reply.
pub(super) struct AnswerSource {
    pub(super) index: usize,
    pub(super) connection: Arc<EtcdConnection>,
}

/// Combines the failures of all endpoints that were tried.
fn sum_up(mut failures: Vec<ExchangeFailure>, repeat: Repetition) -> ExchangeFailure {
    let last = failures.pop();
    let Some(mut failure) = last else {
        let text = "the URL names no endpoint of etcd";
        return ExchangeFailure::not_sent(RegistryError::new(RegistryErrorKind::Unavailable, text));
    };
    let settled = |failure: &ExchangeFailure| failure.meaning == Meaning::NotSent;
    if settled(&failure) && !failures.is_empty() {
        let doubtful = failures.iter().position(|earlier| !settled(earlier));
        failure = match doubtful {
            // An earlier endpoint may have executed the request.
            Some(position) => failures.swap_remove(position),
            None => ExchangeFailure::not_sent(joined(failures, failure)),
        };
    }
    if repeat == Repetition::Read && failure.error.may_have_executed() {
        failure.error = failure.error.as_kind(RegistryErrorKind::Unavailable);
    }
    failure
}

/// Combines the failures of several endpoints to which nothing was sent.
fn joined(failures: Vec<ExchangeFailure>, last: ExchangeFailure) -> RegistryError {
    let errors = failures.into_iter().map(|failure| failure.error);
    let errors: Vec<_> = errors.chain([last.error]).collect();
    join(&errors)
}

/// Combines the errors of all endpoints. The result has their kind if it is the same for all. A
/// user whom one endpoint refuses would be refused by every reachable one, so `Auth` takes
/// precedence. The cause is the first error of the resulting kind.
pub(super) fn join(errors: &[RegistryError]) -> RegistryError {
    if let [error] = errors {
        return error.clone();
    }
    let mut kinds = errors.iter().map(RegistryError::kind);
    let kind = if kinds.clone().any(|kind| kind == RegistryErrorKind::Auth) {
        RegistryErrorKind::Auth
    } else {
        kinds
            .next()
            .filter(|first| kinds.all(|kind| kind == *first))
            .unwrap_or(RegistryErrorKind::Unavailable)
    };
    let texts: Vec<_> = errors.iter().map(ToString::to_string).collect();
    let error = RegistryError::new(kind, texts.join("; "));
    let cause = errors.iter().find(|error| error.kind() == kind);
    match cause.or(errors.first()) {
        Some(cause) => error.caused_by(cause.clone()),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(meaning: Meaning, text: &str) -> ExchangeFailure {
        let error = status::error(&meaning, text);
        ExchangeFailure { meaning, error }
    }

    fn unreachable(kind: RegistryErrorKind, text: &str) -> ExchangeFailure {
        ExchangeFailure::not_sent(RegistryError::new(kind, text))
    }

    #[test]
    fn a_request_that_changes_something_goes_to_one_endpoint_at_most() {
        for (meaning, never, safe) in [
            (Meaning::NotSent, true, true),
            (Meaning::Broken, false, true),
            (Meaning::Unsettled, false, true),
            (Meaning::NoSpace, false, false),
            (Meaning::Refused(RegistryErrorKind::Auth), false, false),
        ] {
            let failure = failure(meaning, "");
            assert_eq!(failure.passes_on(Repetition::Never), never, "{failure:?}");
            assert_eq!(failure.passes_on(Repetition::Safe), safe, "{failure:?}");
            assert_eq!(failure.passes_on(Repetition::Read), safe, "{failure:?}");
        }
    }

    #[test]
    fn a_doubt_at_one_endpoint_is_not_lost_at_the_next() {
        let down = || unreachable(RegistryErrorKind::Unavailable, "down");
        let failures = || vec![failure(Meaning::Broken, "cut"), down(), down()];
        assert!(
            sum_up(failures(), Repetition::Safe)
                .error
                .may_have_executed()
        );
        let read = sum_up(failures(), Repetition::Read).error;
        assert_eq!(read.kind(), RegistryErrorKind::Unavailable);
        assert!(
            !sum_up(vec![down(), down()], Repetition::Safe)
                .error
                .may_have_executed()
        );
    }

    #[test]
    fn causes_are_kept() {
        let is_status = |error: &RegistryError| {
            let source = std::error::Error::source(error);
            source.is_some_and(|source| source.is::<Status>())
        };
        let cut = || ExchangeFailure::of(&Status::unavailable("etcdserver: no leader"));
        assert!(is_status(&cut().error));
        let down = || unreachable(RegistryErrorKind::Unavailable, "down");
        let read = sum_up(vec![cut(), down()], Repetition::Read).error;
        assert_eq!(read.kind(), RegistryErrorKind::Unavailable);
        assert!(is_status(&read));
        let (auth, tls) = (RegistryErrorKind::Auth, RegistryErrorKind::Tls);
        for (kinds, cause) in [([tls, auth], Some("1")), ([tls, tls], Some("0"))] {
            let errors = kinds.iter().enumerate();
            let errors = errors.map(|(index, kind)| RegistryError::new(*kind, index.to_string()));
            let joined = join(&errors.collect::<Vec<_>>());
            let source = std::error::Error::source(&joined).map(ToString::to_string);
            assert_eq!(source.as_deref(), cause);
        }
    }

    #[test]
    fn endpoints_that_fail_alike_are_reported_as_one() {
        let of = |kinds: &[RegistryErrorKind]| {
            let failures = kinds.iter().map(|kind| unreachable(*kind, "x")).collect();
            sum_up(failures, Repetition::Never).error
        };
        let (down, tls) = (RegistryErrorKind::Unavailable, RegistryErrorKind::Tls);
        assert_eq!(of(&[tls]).kind(), tls);
        assert_eq!(of(&[tls, tls]), RegistryError::new(tls, "x; x"));
        assert_eq!(of(&[tls, down]), RegistryError::new(down, "x; x"));
        let auth = RegistryErrorKind::Auth;
        assert_eq!(of(&[down, auth]).kind(), auth);
    }
}
