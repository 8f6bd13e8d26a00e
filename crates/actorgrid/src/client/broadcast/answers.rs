//! The outcomes of a broadcast while it is under way.

use super::outcome::Outcome;
use crate::error::RequestError;

/// The answers of a broadcast's members that have arrived so far.
pub(super) struct Answers<R> {
    pub(super) outcomes: Vec<Option<Outcome<R>>>,
    /// The place of the member whose reply arrived first.
    pub(super) first: Option<usize>,
}

impl<R> Answers<R> {
    pub(super) fn new(members: usize) -> Self {
        Self {
            outcomes: std::iter::repeat_with(|| None).take(members).collect(),
            first: None,
        }
    }

    pub(super) fn add(&mut self, place: usize, answer: Result<R, RequestError>) {
        if answer.is_ok() {
            self.first.get_or_insert(place);
        }
        if let Some(outcome) = self.outcomes.get_mut(place) {
            *outcome = Some(answer.map_or_else(Outcome::Failed, Outcome::Reply));
        }
    }
}
