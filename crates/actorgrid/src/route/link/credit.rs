//! Credit: how much a side may still send. Pure.

use super::link_error::LinkError;

/// The share of a limit that is kept for requests from handlers.
const fn reserved(limit: u64) -> u64 {
    limit / 4
}

/// The credit for requests. The client spends it as it sends and the server as it reads, so both
/// sides have the same count.
#[derive(Debug)]
pub(super) struct RequestCreditLine {
    requests: LeftOf,
    bytes: LeftOf,
}

#[derive(Debug, Clone, Copy)]
struct LeftOf {
    left: u64,
    limit: u64,
}

impl LeftOf {
    const fn new(limit: u64) -> Self {
        Self { left: limit, limit }
    }

    /// Returns what is left after this amount is spent; `None` if it must not be spent.
    fn after(self, amount: u64, is_from_handler: bool) -> Option<Self> {
        let least = match is_from_handler {
            true => 0,
            false => reserved(self.limit),
        };
        let left = self.left.checked_sub(amount)?;
        (left >= least).then_some(Self { left, ..self })
    }

    fn add(&mut self, amount: u64) -> Result<(), LinkError> {
        let left = self.left.checked_add(amount);
        let left = left.filter(|left| *left <= self.limit);
        self.left = left.ok_or(LinkError::CreditExceeded)?;
        Ok(())
    }
}

impl RequestCreditLine {
    /// Creates the credit that a server's `Hello` states.
    pub(super) fn new(requests: u32, bytes: u64) -> Self {
        Self {
            requests: LeftOf::new(requests.into()),
            bytes: LeftOf::new(bytes),
        }
    }

    /// Whether a request of this length can be sent now.
    pub(super) fn allows(&self, bytes: u64, is_from_handler: bool) -> bool {
        self.after(bytes, is_from_handler).is_some()
    }

    /// Spends the credit of one request.
    ///
    /// # Errors
    ///
    /// There is not enough credit. For a server this means that the client violated the protocol.
    pub(super) fn spend(&mut self, bytes: u64, is_from_handler: bool) -> Result<(), LinkError> {
        let after = self.after(bytes, is_from_handler);
        *self = after.ok_or(LinkError::CreditExceeded)?;
        Ok(())
    }

    /// Adds the returned credit of requests.
    ///
    /// # Errors
    ///
    /// The credit would exceed what `Hello` stated.
    pub(super) fn add(&mut self, requests: u32, bytes: u64) -> Result<(), LinkError> {
        self.requests.add(requests.into())?;
        self.bytes.add(bytes)
    }

    fn after(&self, bytes: u64, is_from_handler: bool) -> Option<Self> {
        Some(Self {
            requests: self.requests.after(1, is_from_handler)?,
            bytes: self.bytes.after(bytes, is_from_handler)?,
        })
    }
}

/// The credit for replies.
#[derive(Debug)]
pub(super) struct ReplyCreditLine(LeftOf);

impl ReplyCreditLine {
    /// Creates the credit that a client's `Hello` states.
    pub(super) const fn new(bytes: u64) -> Self {
        Self(LeftOf::new(bytes))
    }

    pub(super) const fn allows(&self, bytes: u64) -> bool {
        self.0.left >= bytes
    }

    /// Spends the credit of one reply, or fails if there is not enough.
    pub(super) fn spend(&mut self, bytes: u64) -> Result<(), LinkError> {
        let left = self.0.left.checked_sub(bytes);
        self.0.left = left.ok_or(LinkError::CreditExceeded)?;
        Ok(())
    }

    /// Adds returned credit, or fails if it would exceed what `Hello` stated.
    pub(super) fn add(&mut self, bytes: u64) -> Result<(), LinkError> {
        self.0.add(bytes)
    }
}

/// Counts the requests without an answer.
#[derive(Debug)]
pub(super) struct Unanswered {
    count: u64,
    limit: u64,
}

impl Unanswered {
    pub(super) fn new(limit: u32) -> Self {
        Self {
            count: 0,
            limit: limit.into(),
        }
    }

    pub(super) const fn count(&self) -> u64 {
        self.count
    }

    /// Whether one more is allowed.
    pub(super) const fn allows(&self, is_from_handler: bool) -> bool {
        let reserved = if is_from_handler {
            0
        } else {
            reserved(self.limit)
        };
        self.count < self.limit - reserved
    }

    pub(super) const fn begin(&mut self) {
        self.count += 1;
    }

    pub(super) const fn end(&mut self) {
        self.count = self.count.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_is_reserved_for_requests_from_handlers() {
        let mut credit = RequestCreditLine::new(8, 1000);
        for _ in 0..6 {
            credit.spend(10, false).unwrap();
        }
        assert!(!credit.allows(10, false));
        credit.spend(10, true).unwrap();
        credit.spend(10, true).unwrap();
        assert_eq!(credit.spend(0, true), Err(LinkError::CreditExceeded));
        credit.add(8, 80).unwrap();
        assert!(!credit.allows(751, false));
        assert!(credit.allows(750, false) && credit.allows(1000, true));
        assert_eq!(credit.add(1, 0), Err(LinkError::CreditExceeded));
        assert_eq!(credit.add(0, 1), Err(LinkError::CreditExceeded));
    }

    #[test]
    fn what_is_refused_spends_nothing() {
        let mut credit = RequestCreditLine::new(4, 100);
        assert!(credit.spend(101, true).is_err());
        assert!(credit.allows(100, true));
        let mut credit = ReplyCreditLine::new(100);
        assert!(credit.spend(101).is_err());
        credit.spend(100).unwrap();
        assert!(!credit.allows(1));
        credit.add(100).unwrap();
        assert!(credit.add(1).is_err());
    }

    #[test]
    fn unanswered_requests_leave_a_quarter_as_well() {
        let mut unanswered = Unanswered::new(4);
        for _ in 0..3 {
            assert!(unanswered.allows(false));
            unanswered.begin();
        }
        assert!(!unanswered.allows(false) && unanswered.allows(true));
        unanswered.begin();
        assert!(!unanswered.allows(true));
        unanswered.end();
        assert_eq!(unanswered.count(), 3);
    }
}
