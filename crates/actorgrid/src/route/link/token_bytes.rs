//! Fencing tokens as 16 bytes: the cluster and the revision.

use bytes::Buf;

use crate::revision::Revision;
use crate::token::{ClusterId, Token};

pub(super) const TOKEN_BYTES: usize = 16;

#[inline]
pub(super) fn token_bytes(token: Token) -> [u8; TOKEN_BYTES] {
    let mut bytes = [0; TOKEN_BYTES];
    bytes[0..8].copy_from_slice(&token.cluster().0.to_le_bytes());
    bytes[8..16].copy_from_slice(&token.revision().to_le_bytes());
    bytes
}

/// Reads the token in these bytes. Returns `None` if the revision is not positive: no registration
/// has such a token.
pub(super) fn read_token(mut bytes: &[u8]) -> Option<Token> {
    let cluster = bytes.try_get_u64_le().ok()?;
    let revision = bytes.try_get_i64_le().ok()?;
    let is_token = revision > 0 && bytes.is_empty();
    is_token.then(|| Token::new(ClusterId(cluster), Revision::new(revision)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_positive_revision_makes_a_token() {
        for (revision, is_token) in [(0, false), (1, true), (i64::MAX, true), (-1, false)] {
            let token = Token::new(ClusterId(42), Revision::new(revision));
            let read = read_token(&token_bytes(token));
            assert_eq!(read, is_token.then_some(token), "{revision}");
        }
        assert_eq!(read_token(&[1; TOKEN_BYTES - 1]), None);
        assert_eq!(read_token(&[1; TOKEN_BYTES + 1]), None);
    }
}
