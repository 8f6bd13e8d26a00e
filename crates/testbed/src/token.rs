//! Fencing tokens, as a resource outside of a grid sees them.

use std::fmt;
use std::str::FromStr;

/// A fencing token as `actorgrid` writes it, `cluster:revision`. It has its own parser here: a
/// resource that checks tokens shares no code with the peers whose tokens it checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    /// The id of the registry's cluster, written in hexadecimal. Tokens of different clusters
    /// cannot be compared.
    pub cluster: u64,
    /// The create revision of the registration, which grows with every new holder of a name.
    pub revision: i64,
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}:{}", self.cluster, self.revision)
    }
}

impl FromStr for Token {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.split_once(':')
            .and_then(|(cluster, revision)| {
                let cluster = u64::from_str_radix(cluster, 16).ok()?;
                let revision = revision.parse().ok()?;
                Some(Self { cluster, revision })
            })
            .ok_or_else(|| format!("not a token: {text}"))
    }
}
