//! Fencing tokens: their parts, their order and their text form.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use crate::revision::Revision;
use crate::text_form::text_form;

/// The identity of a registry cluster. Tokens of different clusters cannot be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClusterId(pub u64);

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

/// A fencing token: the cluster and the create revision of a registration.
///
/// Each new holder of a name gets a greater token than every holder before it. A resource outside
/// of the grid that remembers the greatest token it has seen for a name, and rejects smaller ones,
/// is safe from a holder that is too late.
///
/// Tokens are comparable only for one name and within one cluster: comparing tokens of different
/// clusters returns `None`. They display as `cluster:revision` and parse back.
///
/// ```
/// use actorgrid::Token;
///
/// let old: Token = "2a:17".parse()?;
/// let new: Token = "2a:18".parse()?;
/// let foreign: Token = "2b:1".parse()?;
/// assert!(old < new);
/// assert_eq!(old.partial_cmp(&foreign), None);
/// # Ok::<(), actorgrid::TokenError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token {
    cluster: ClusterId,
    revision: Revision,
}

impl Token {
    pub(crate) const fn new(cluster: ClusterId, revision: Revision) -> Self {
        Self { cluster, revision }
    }

    /// Returns the registry cluster that issued the token.
    #[must_use]
    pub const fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// Returns the revision of the cluster at which the name was registered.
    #[must_use]
    pub const fn revision(&self) -> i64 {
        self.revision.get()
    }
}

impl PartialOrd for Token {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self.cluster == other.cluster).then(|| self.revision.cmp(&other.revision))
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.cluster, self.revision)
    }
}

/// The error of parsing a text that is not a [`Token`] or not a [`ClusterId`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenError(());

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a token is written cluster:revision, a hexadecimal and a positive decimal number",
        )
    }
}

impl std::error::Error for TokenError {}

impl FromStr for Token {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let (cluster, revision) = text.split_once(':').ok_or(TokenError(()))?;
        if !is_plain(revision) {
            return Err(TokenError(()));
        }
        let revision = revision.parse().map_err(|_| TokenError(()))?;
        Ok(Self::new(cluster.parse()?, Revision::new(revision)))
    }
}

impl FromStr for ClusterId {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        if !is_plain(text) {
            return Err(TokenError(()));
        }
        let cluster = u64::from_str_radix(text, 16).map_err(|_| TokenError(()))?;
        Ok(Self(cluster))
    }
}

/// Whether a text consists of digits only, without the sign that the standard library accepts.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

text_form!(Token ClusterId);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn displays_and_parses(cluster: u64, revision in 0..i64::MAX) {
            let token = Token::new(ClusterId(cluster), Revision::new(revision));
            prop_assert_eq!(token.to_string().parse(), Ok(token));
        }

        #[test]
        fn compares_within_a_cluster_only(a in 0..9_i64, b in 0..9_i64, x in 0..2_u64, y in 0..2_u64) {
            let token = |cluster, revision| Token::new(ClusterId(cluster), Revision::new(revision));
            let order = token(x, a).partial_cmp(&token(y, b));
            prop_assert_eq!(order, (x == y).then(|| a.cmp(&b)));
        }
    }

    #[test]
    fn refuses_other_texts() {
        for text in [
            "",
            "1",
            "1:",
            ":1",
            "g:1",
            "1:-1",
            "+1:1",
            "1:+1",
            "1:1:1",
            "1:99999999999999999999",
        ] {
            assert_eq!(text.parse::<Token>(), Err(TokenError(())), "{text}");
        }
    }
}
