//! One exchange with the cluster, over whichever endpoint works.

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

/// The longest message that is taken: many times what etcd's own limits on requests, and our
/// pages, amount to.
pub(super) const MAX_MESSAGE_BYTES: usize = 64 * 1024 * 1024;

/// How long to wait at one endpoint until a request that cannot be sent twice can be sent, before
/// another one is asked: several round trips.
const PATIENCE: Duration = Duration::from_millis(500);

/// The cluster as the calls see it.
pub(super) struct Cluster {
    pub(super) endpoints: Endpoints,
    pub(super) id: ClusterId,
    /// Shared with the dedicated handles.
    pub(super) history: Arc<History>,
}

/// Whether a request may be sent again when its outcome is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repetition {
    /// Nothing: it changes something.
    Never,
    /// It is sent to another endpoint: twice does the same as once.
    Safe,
    /// The same, and it changes nothing, so that its outcome is never in doubt.
    Read,
}

/// Sends a request and waits for its reply.
pub(super) type SendCall<Q, R> =
    fn(EtcdTransport, Uri, Request<Q>) -> BoxFuture<'static, Result<R, Status>>;

/// A reply with etcd's header.
pub(super) trait Headed {
    fn header(&self) -> Option<&ResponseHeader>;
}

/// A failure over one endpoint.
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

    /// Nothing came of it in our cluster.
    fn refused(error: RegistryError) -> Self {
        let meaning = Meaning::Refused(error.kind());
        Self { meaning, error }
    }

    /// Whether another endpoint may be asked the same.
    fn passes_on(&self, repeat: Repetition) -> bool {
        match self.meaning {
            Meaning::NotSent => true,
            Meaning::Broken | Meaning::Unsettled => repeat != Repetition::Never,
            _ => false,
        }
    }
}

/// The answer to an exchange, and where it came from.
type ExchangeAnswer<R> = Result<(R, At), ExchangeFailure>;

/// How one endpoint is tried.
#[derive(Debug, Clone, Copy)]
struct Try {
    index: usize,
    /// It is sent only where the endpoint is known to be there, as it cannot be sent again.
    is_careful: bool,
    /// An endpoint that falls silent is left, as there are others.
    leaves_silence: bool,
}

/// Why an exchange over one connection failed.
struct Fault {
    /// What that says about the connection and its endpoint.
    meaning: Meaning,
    failure: ExchangeFailure,
}

impl From<ExchangeFailure> for Fault {
    fn from(failure: ExchangeFailure) -> Self {
        Self {
            meaning: failure.meaning.clone(),
            failure,
        }
    }
}

impl Cluster {
    /// Asks the endpoints until one gives the answer: one after the other, each once at most, and
    /// where the request may be repeated, another one as well when an answer is late.
    ///
    /// Cancel safe as far as the request is: who drops this does not know its outcome.
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

    /// The same, and over which connection the answer came.
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

    /// One endpoint after the other, as long as nothing was sent. Those to which nothing can be
    /// sent at once are waited for when no other one takes the request.
    async fn in_turn<Q: Clone + Dated, R: Headed>(
        &self,
        order: &[usize],
        request: &Q,
        send: SendCall<Q, R>,
    ) -> Result<(R, At), Vec<ExchangeFailure>> {
        let patience = (order.len() > 1).then_some(PATIENCE);
        let mut tries: VecDeque<_> = order.iter().map(|index| (*index, patience)).collect();
        let mut failures = Vec::new();
        while let Some((index, patience)) = tries.pop_front() {
            let one = Try {
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

    /// One endpoint, and further ones as soon as that one fails or is late.
    async fn hedged<Q: Clone + Dated, R: Headed>(
        &self,
        order: &[usize],
        request: &Q,
        send: SendCall<Q, R>,
    ) -> Result<(R, At), Vec<ExchangeFailure>> {
        let leaves_silence = order.len() > 1;
        let attempt = |index, hedge| async move {
            let _hedge = hedge;
            let one = Try {
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

    /// Tries one endpoint, over this connection.
    async fn at<Q: Clone + Dated, R: Headed>(
        &self,
        one: Try,
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
                    let at = At {
                        index: one.index,
                        connection: over,
                    };
                    return Ok((reply, at));
                }
                // The connection had ended before: the endpoint may be there all the same.
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

    /// A connection over which a request can be sent.
    async fn ready(&self, one: Try) -> Result<Arc<EtcdConnection>, RegistryError> {
        let connection = self.endpoints.connection(one.index).await?;
        if one.is_careful && !connection.assured().await {
            return self.endpoints.connection(one.index).await;
        }
        Ok(connection)
    }

    /// Sends the request over a connection, again where etcd asks for a new token.
    async fn over<Q: Clone + Dated, R: Headed>(
        &self,
        one: Try,
        connection: &EtcdConnection,
        request: &Q,
        send: SendCall<Q, R>,
    ) -> Result<R, Fault> {
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
                        return current.map_err(Fault::from);
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

    /// Compares the revision of an answer with what was `known` when its request was sent.
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

    /// The endpoint is silent. It may come back, and so its connection is kept until it is known
    /// to lead nowhere.
    fn silent(&self, index: usize) -> ExchangeFailure {
        let address = self.endpoints.address(index);
        let text = format!("etcd at {address} is silent");
        ExchangeFailure {
            meaning: Meaning::Unsettled,
            error: RegistryError::new(RegistryErrorKind::Unknown, text),
        }
    }

    /// Takes the consequences of a failure for the endpoint and its connection.
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

/// The authentication failed, or may have been carried out: the request itself was not sent.
fn unauthenticated(status: &Status) -> Fault {
    let mut fault = Fault::from(ExchangeFailure::of(status));
    if fault.failure.error.may_have_executed() {
        let text = format!("etcd did not authenticate the user: {}", status.message());
        let error = RegistryError::new(RegistryErrorKind::Unavailable, text);
        fault.failure = ExchangeFailure::not_sent(error.caused_by(status.clone()));
    }
    fault
}

/// Where an answer came from.
pub(super) struct At {
    pub(super) index: usize,
    pub(super) connection: Arc<EtcdConnection>,
}

/// One failure for those of all endpoints that were asked.
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
            // An earlier endpoint may have executed it.
            Some(position) => failures.swap_remove(position),
            None => ExchangeFailure::not_sent(joined(failures, failure)),
        };
    }
    if repeat == Repetition::Read && failure.error.may_have_executed() {
        failure.error = failure.error.as_kind(RegistryErrorKind::Unavailable);
    }
    failure
}

/// One error for several endpoints that could not be asked.
fn joined(failures: Vec<ExchangeFailure>, last: ExchangeFailure) -> RegistryError {
    let errors = failures.into_iter().map(|failure| failure.error);
    let errors: Vec<_> = errors.chain([last.error]).collect();
    join(&errors)
}

/// One error for those of all endpoints: of their kind if it is the same. A user that one of them
/// refuses is refused by all that can be reached. The first error of that kind is its cause.
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
    fn what_changes_something_goes_to_one_endpoint_at_most() {
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
