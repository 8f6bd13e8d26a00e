//! The version of a member of etcd, and what follows from it. Pure.

/// The version of a member of etcd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MemberVersion {
    major: u32,
    minor: u32,
    patch: u32,
}

impl MemberVersion {
    /// Parses text such as `3.6.16` or `3.7.0-rc.1`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let numbers = text.split(['-', '+']).next()?;
        let mut numbers = numbers.split('.').map(|number| number.parse().ok());
        Some(Self {
            major: numbers.next()??,
            minor: numbers.next()??,
            patch: numbers.next()??,
        })
    }

    /// Whether a progress report on request can be trusted: every change up to its revision was
    /// sent before it. In older versions it can overtake changes (etcd's issue 15220).
    pub(super) fn orders_progress(self) -> bool {
        match (self.major, self.minor) {
            (..=2, _) | (3, ..=3) => false,
            (3, 4) => self.patch >= 25,
            (3, 5) => self.patch >= 8,
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_versions_whose_progress_can_be_trusted() {
        for (text, ordered) in [
            ("2.3.8", false),
            ("3.3.27", false),
            ("3.4.23", false),
            ("3.4.24", false),
            ("3.4.25", true),
            ("3.5.7", false),
            ("3.5.8", true),
            ("3.5.8-rc.0", true),
            ("3.6.0", true),
            ("3.7.0-alpha.1+git", true),
            ("4.0.0", true),
        ] {
            let version = MemberVersion::parse(text).unwrap();
            assert_eq!(version.orders_progress(), ordered, "{text}");
        }
        for text in ["", "3", "3.6", "v3.6.1", "3.x.1", "not_decided"] {
            assert_eq!(MemberVersion::parse(text), None, "{text}");
        }
    }
}
