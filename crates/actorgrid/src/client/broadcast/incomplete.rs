//! The error of a broadcast to which some members did not reply.

use std::error::Error;
use std::fmt;

use super::result::BroadcastResult;

impl<R> BroadcastResult<R> {
    /// Returns the result if it [is complete](Self::is_complete).
    ///
    /// # Errors
    ///
    /// Fails with an [`IncompleteBroadcast`], which contains the result.
    pub fn into_result(self) -> Result<Self, IncompleteBroadcast<R>> {
        match self.is_complete() {
            true => Ok(self),
            false => Err(IncompleteBroadcast(self)),
        }
    }
}

/// The error of a broadcast to which not all members replied or, with
/// [`fastest`](crate::BroadcastBuilder::fastest), none did.
#[derive(Clone)]
pub struct IncompleteBroadcast<R>(BroadcastResult<R>);

impl<R> IncompleteBroadcast<R> {
    /// Returns the outcome of each request.
    pub fn result(&self) -> &BroadcastResult<R> {
        &self.0
    }

    /// Returns the outcome of each request, by value.
    pub fn into_inner(self) -> BroadcastResult<R> {
        self.0
    }
}

impl<R> fmt::Display for IncompleteBroadcast<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (replied, members) = (self.0.successes().count(), self.0.len());
        write!(f, "{replied} of {members} members replied")?;
        match self.0.failures().next() {
            Some((name, error)) => write!(f, "; {name} failed: {error}"),
            None => Ok(()),
        }
    }
}

impl<R> fmt::Debug for IncompleteBroadcast<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("IncompleteBroadcast").field(&self.0).finish()
    }
}

impl<R> Error for IncompleteBroadcast<R> {
    /// Returns the error of the first member that failed.
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        let (_, error) = self.0.failures().next()?;
        Some(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::broadcast::outcome::Outcome;
    use crate::error::{BoxError, RequestError, RequestErrorKind};
    use crate::group::Group;

    #[test]
    fn an_incomplete_result_is_an_error_that_contains_it() {
        fn ask(outcome: Outcome<u32>) -> Result<u32, BoxError> {
            let members = Group::new(["a", "b"]).unwrap();
            let outcomes = vec![Outcome::Reply(1), outcome];
            let complete = BroadcastResult::new(members, outcomes, Some(0), false).into_result()?;
            Ok(complete.successes().map(|(_, value)| value).sum())
        }
        assert_eq!(ask(Outcome::Reply(2)).unwrap(), 3);
        let error = ask(Outcome::Failed(RequestError::busy())).unwrap_err();
        assert_eq!(
            error.to_string(),
            "1 of 2 members replied; b failed: the mailbox is full"
        );
        let source = error.source().and_then(|source| source.downcast_ref());
        assert_eq!(source.map(RequestError::kind), Some(RequestErrorKind::Busy));
        let error = error.downcast::<IncompleteBroadcast<u32>>().unwrap();
        assert_eq!(error.result().failures().count(), 1);
        let kind = error.into_inner().failures().next().map(|f| f.1.kind());
        assert_eq!(kind, Some(RequestErrorKind::Busy));
    }
}
