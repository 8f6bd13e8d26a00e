//! The link of a peer, as its registrations announce it.

use serde::{Deserialize, Serialize};

/// The versions of the link that a process speaks, and the identity of the process: a client need
/// not probe, and notices when another process has the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LinkAnnouncement {
    pub(crate) oldest: u16,
    pub(crate) newest: u16,
    pub(crate) incarnation: Incarnation,
}

/// The identity of a process, drawn when its server starts. Not 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Incarnation(u64);

impl Incarnation {
    /// Returns the incarnation of a random number.
    pub(crate) const fn new(drawn: u64) -> Self {
        match drawn {
            0 => Self(1),
            drawn => Self(drawn),
        }
    }

    pub(crate) const fn get(self) -> u64 {
        self.0
    }
}

/// The form in the value of a registration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct WrittenLink {
    versions: (u16, u16),
    /// In hexadecimal, so that no reader takes it for a number.
    incarnation: String,
}

impl From<LinkAnnouncement> for WrittenLink {
    fn from(link: LinkAnnouncement) -> Self {
        Self {
            versions: (link.oldest, link.newest),
            incarnation: format!("{:016x}", link.incarnation.get()),
        }
    }
}

impl WrittenLink {
    /// Returns the announcement; `None` if a value is not allowed: the peer is then reached without
    /// a link.
    pub(super) fn read(&self) -> Option<LinkAnnouncement> {
        let (oldest, newest) = self.versions;
        let incarnation = u64::from_str_radix(&self.incarnation, 16).ok()?;
        let is_valid = oldest <= newest && incarnation != 0;
        is_valid.then_some(LinkAnnouncement {
            oldest,
            newest,
            incarnation: Incarnation(incarnation),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_back_as_it_was_written_and_nonsense_is_none() {
        let link = LinkAnnouncement {
            oldest: 1,
            newest: 2,
            incarnation: Incarnation::new(0xabc),
        };
        let json = serde_json::to_string(&WrittenLink::from(link)).unwrap();
        assert_eq!(
            json,
            r#"{"versions":[1,2],"incarnation":"0000000000000abc"}"#
        );
        let read = |json| serde_json::from_str::<WrittenLink>(json).unwrap().read();
        assert_eq!(read(&json), Some(link));
        for nonsense in [
            r#"{"versions":[2,1],"incarnation":"a"}"#,
            r#"{"versions":[1,1],"incarnation":"0"}"#,
            r#"{"versions":[1,1],"incarnation":"x"}"#,
        ] {
            assert_eq!(read(nonsense), None);
        }
        assert_eq!(Incarnation::new(0).get(), 1);
    }
}
