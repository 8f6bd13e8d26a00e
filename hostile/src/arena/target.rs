//! The peer under attack, as its attackers know it.

use std::net::SocketAddr;
use std::str::FromStr;

use actorgrid::{Token, TokenError};

/// The peer under attack.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its address.
    pub address: SocketAddr,
    /// Its name in the grid.
    pub peer: String,
    /// The tokens of its mailboxes, which the requests of a link state.
    pub tokens: Vec<MailboxToken>,
}

/// The token of a mailbox. Its text form is `mailbox=token`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailboxToken {
    /// The name of the mailbox.
    pub mailbox: String,
    /// The token.
    pub token: Token,
}

impl FromStr for MailboxToken {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let (mailbox, token) = text.split_once('=').unwrap_or(("", text));
        Ok(Self {
            mailbox: mailbox.to_owned(),
            token: token.parse()?,
        })
    }
}

impl Target {
    /// Returns the token of a mailbox as a request states it; all zeros if it is not known.
    pub(super) fn token(&self, mailbox: &str) -> [u8; 16] {
        let known = self.tokens.iter().find(|known| known.mailbox == mailbox);
        let mut bytes = [0; 16];
        if let Some(MailboxToken { token, .. }) = known {
            bytes[..8].copy_from_slice(&token.cluster().0.to_le_bytes());
            bytes[8..].copy_from_slice(&token.revision().to_le_bytes());
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_sent_in_two_halves() {
        let target = Target {
            address: "127.0.0.1:1".parse().unwrap(),
            peer: "peer".to_owned(),
            tokens: vec!["echo=2a:17".parse().unwrap()],
        };
        let token = target.token("echo");
        assert_eq!((token[0], token[8]), (0x2a, 17));
        assert_eq!(target.token("unknown"), [0; 16]);
    }
}
