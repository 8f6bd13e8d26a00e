//! The user of a server that checks who calls it.

use std::collections::BTreeSet;

use crate::error::EtcdError;
use crate::numbers::Numbers;

/// The limit on valid tokens. With a further one, the others expire: each connection of a client
/// asks for few.
const MAX_TOKENS: usize = 1_024;

/// Who may call: everybody, or one user with all permissions.
#[derive(Debug, Clone, Default)]
pub(crate) struct Access {
    user: Option<(String, String)>,
    tokens: BTreeSet<String>,
}

impl Access {
    pub(crate) fn new(user: Option<(String, String)>) -> Self {
        Self {
            user,
            tokens: BTreeSet::new(),
        }
    }

    /// Returns a new token for the user.
    pub(crate) fn authenticate(
        &mut self,
        numbers: &mut Numbers,
        name: &str,
        password: &str,
    ) -> Result<String, EtcdError> {
        let (user, expected) = self.user.as_ref().ok_or(EtcdError::AuthNotEnabled)?;
        if user != name || expected != password {
            return Err(EtcdError::AuthFailed);
        }
        if self.tokens.len() >= MAX_TOKENS {
            self.tokens.clear();
        }
        let token = format!("{:016x}", numbers.next());
        self.tokens.insert(token.clone());
        Ok(token)
    }

    /// Fails if only the user may call and the token of a call is not valid.
    pub(crate) fn check(&self, token: Option<&str>) -> Result<(), EtcdError> {
        match token {
            _ if self.user.is_none() => Ok(()),
            Some(token) if self.tokens.contains(token) => Ok(()),
            Some(_) => Err(EtcdError::InvalidAuthToken),
            None => Err(EtcdError::UserEmpty),
        }
    }

    /// Makes all tokens invalid.
    pub(crate) fn expire_tokens(&mut self) {
        self.tokens.clear();
    }
}
