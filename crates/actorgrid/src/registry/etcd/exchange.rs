//! One exchange with the cluster, over whichever endpoint works.

use std::sync::Arc;

use futures_core::future::BoxFuture;
use http::Uri;
use tonic::{Request, Status};

use super::connection::{EtcdConnection, EtcdTransport};
use super::endpoints::Endpoints;
use super::status::{self, Meaning};
use crate::registry::{RegistryError, RegistryErrorKind};
use crate::token::ClusterId;
use crate::wire::etcd::ResponseHeader;

/// The longest message that is taken: many times what etcd's own limits on requests, and our
/// pages, amount to.
pub(super) const MAX_MESSAGE_BYTES: usize = 64 * 1024 * 1024;

/// The cluster as the calls see it.
pub(super) struct Cluster {
    pub(super) endpoints: Endpoints,
    pub(super) id: ClusterId,
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

    /// Whether another endpoint may be asked the same.
    fn passes_on(&self, repeat: Repetition) -> bool {
        match self.meaning {
            Meaning::NotSent => true,
            Meaning::Broken | Meaning::Unsettled => repeat != Repetition::Never,
            _ => false,
        }
    }
}

impl Cluster {
    /// Asks one endpoint after the other, each once at most, until one gives the answer.
    ///
    /// Cancel safe as far as the request is: who drops this does not know its outcome.
    pub(super) async fn exchange<Q: Clone, R: Headed>(
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
    pub(super) async fn exchange_at<Q: Clone, R: Headed>(
        &self,
        repeat: Repetition,
        request: &Q,
        send: SendCall<Q, R>,
    ) -> Result<(R, At), ExchangeFailure> {
        let mut failures = Vec::new();
        for index in self.endpoints.order() {
            match self.once(index, request, send).await {
                Ok((reply, connection)) => {
                    self.endpoints.prefer(index);
                    return Ok((reply, At { index, connection }));
                }
                Err(failure) => {
                    let passes_on = failure.passes_on(repeat);
                    failures.push(failure);
                    if !passes_on {
                        break;
                    }
                }
            }
        }
        Err(sum_up(failures, repeat))
    }

    async fn once<Q: Clone, R: Headed>(
        &self,
        index: usize,
        request: &Q,
        send: SendCall<Q, R>,
    ) -> Result<(R, Arc<EtcdConnection>), ExchangeFailure> {
        let mut unanswered = self.endpoints.await_answer(index);
        let (mut reconnected, mut authenticated) = (false, false);
        let outcome = loop {
            let connection = match self.endpoints.connection(index).await {
                Ok(connection) => connection,
                Err(error) => {
                    self.endpoints.suspect(index);
                    break Err(ExchangeFailure::not_sent(error));
                }
            };
            unanswered.goes_over(&connection);
            let mut message = Request::new(request.clone());
            let mut pass = None;
            if let Some(authenticator) = self.endpoints.authenticator() {
                match authenticator.pass(&connection).await {
                    Ok(new) => {
                        new.show(&mut message);
                        pass = Some((authenticator, new));
                    }
                    Err(status) => break Err(self.unauthenticated(index, &connection, &status)),
                }
            }
            let sent = send(connection.transport(), connection.origin(), message);
            let status = match sent.await {
                Ok(reply) => {
                    let verified = self.verify(index, &reply);
                    break match verified {
                        Ok(()) => Ok((reply, connection)),
                        Err(error) => {
                            connection.retire();
                            let meaning = Meaning::Refused(RegistryErrorKind::WrongCluster);
                            Err(ExchangeFailure { meaning, error })
                        }
                    };
                }
                Err(status) => status,
            };
            let failure = ExchangeFailure::of(&status);
            match failure.meaning {
                // The connection had ended before: the endpoint may be there all the same.
                Meaning::NotSent if !reconnected => {
                    reconnected = true;
                    connection.retire();
                }
                Meaning::Token if !authenticated && pass.is_some() => {
                    authenticated = true;
                    if let Some((authenticator, pass)) = &pass {
                        authenticator.forget(pass);
                    }
                }
                _ => {
                    self.blame(index, &connection, &failure.meaning);
                    break Err(failure);
                }
            }
        };
        unanswered.answered();
        outcome
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

    /// The authentication failed, or may have been carried out: the request itself was not sent.
    fn unauthenticated(
        &self,
        index: usize,
        connection: &EtcdConnection,
        status: &Status,
    ) -> ExchangeFailure {
        let mut failure = ExchangeFailure::of(status);
        self.blame(index, connection, &failure.meaning);
        if failure.error.may_have_executed() {
            let text = format!("etcd did not authenticate the user: {}", status.message());
            let error = RegistryError::new(RegistryErrorKind::Unavailable, text);
            failure = ExchangeFailure::not_sent(error.caused_by(status.clone()));
        }
        failure
    }

    pub(super) fn verify(&self, index: usize, reply: &impl Headed) -> Result<(), RegistryError> {
        match reply.header() {
            Some(header) if header.cluster_id != 0 => {
                self.endpoints.verify(index, ClusterId(header.cluster_id))
            }
            _ => Ok(()),
        }
    }
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
