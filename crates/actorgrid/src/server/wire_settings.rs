//! The settings that limit the wire port of a server, and their check.

use std::net::IpAddr;

use super::error::ServerError;
use crate::route::serving::{
    BudgetLimits, DEFAULT_MAX_CONNECTIONS, DEFAULT_MAX_RECEIVED_BYTES,
    DEFAULT_MAX_RECEIVED_BYTES_PER_CONNECTION, DEFAULT_MAX_STREAMS_PER_CONNECTION,
    MIN_MESSAGES_PER_CONNECTION, WireBounds,
};

/// The highest limit on the requests under way on one connection. How many requests a client may
/// cancel and start again within a turn is limited separately.
const MAX_STREAMS: u32 = 65_536;

/// The smallest limit on the bytes of one connection: 1,000 requests under way need this much.
const MIN_BYTES_PER_CONNECTION: usize = 8 * 1024 * 1024;
/// How much larger than its message a request may be.
const MAX_OVERHEAD_BYTES: usize = 16 * 1024;

/// The limits of a wire port as they were given.
#[derive(Debug, Clone)]
pub(super) struct WireSettings {
    /// `None` selects the default, or more if the largest message needs more.
    pub(super) received_bytes: Option<usize>,
    pub(super) received_bytes_per_connection: Option<usize>,
    pub(super) reply_bytes: Option<usize>,
    pub(super) streams_per_connection: u32,
    pub(super) connections: usize,
    pub(super) proxies: Vec<IpAddr>,
}

impl Default for WireSettings {
    fn default() -> Self {
        Self {
            received_bytes: None,
            received_bytes_per_connection: None,
            reply_bytes: None,
            streams_per_connection: DEFAULT_MAX_STREAMS_PER_CONNECTION,
            connections: DEFAULT_MAX_CONNECTIONS,
            proxies: Vec::new(),
        }
    }
}

impl WireSettings {
    /// Checks that several messages of the largest size fit.
    pub(super) fn check(self, max_message_bytes: usize) -> Result<WireBounds, ServerError> {
        let with_envelope = max_message_bytes.saturating_add(MAX_OVERHEAD_BYTES);
        let least = with_envelope
            .saturating_mul(MIN_MESSAGES_PER_CONNECTION)
            .max(MIN_BYTES_PER_CONNECTION);
        let per_connection = self
            .received_bytes_per_connection
            .unwrap_or(DEFAULT_MAX_RECEIVED_BYTES_PER_CONNECTION.max(least));
        if per_connection < least {
            let why = format!(
                "{per_connection} is too little for {MIN_MESSAGES_PER_CONNECTION} messages of the \
                 largest size (max_message_bytes) and many small ones: set it to {least} or more"
            );
            let setting = "max_received_bytes_per_connection";
            return Err(ServerError::setting(setting, why));
        }
        let check = |setting, given: Option<usize>| {
            let total =
                given.unwrap_or(DEFAULT_MAX_RECEIVED_BYTES.max(per_connection.saturating_mul(2)));
            if total >= per_connection {
                return Ok(total);
            }
            let why = format!(
                "{total} is less than the limit of one connection \
                 (max_received_bytes_per_connection): set it to {per_connection} or more"
            );
            Err(ServerError::setting(setting, why))
        };
        let received = check("max_received_bytes", self.received_bytes)?;
        let replies = check("max_reply_bytes", self.reply_bytes.or(Some(received)))?;
        if !(1..=MAX_STREAMS).contains(&self.streams_per_connection) {
            let why = format!(
                "{} is not between 1 and {MAX_STREAMS}",
                self.streams_per_connection
            );
            return Err(ServerError::setting("max_streams_per_connection", why));
        }
        if self.connections == 0 {
            let why = "0: nobody could connect".to_owned();
            return Err(ServerError::setting("max_connections", why));
        }
        let limits = |total| BudgetLimits {
            total,
            per_connection,
        };
        let proxies = self.proxies.iter().map(IpAddr::to_canonical);
        Ok(WireBounds {
            received: limits(received),
            replies: limits(replies),
            max_streams: self.streams_per_connection,
            max_connections: self.connections,
            proxies: proxies.collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;

    fn refused(settings: WireSettings, max_message_bytes: usize) -> String {
        let error = settings.check(max_message_bytes).map(drop);
        error.unwrap_err().to_string()
    }

    #[test]
    fn the_defaults_grow_with_the_largest_message() {
        let bounds = WireSettings::default().check(4 * MIB).unwrap();
        let limits = (bounds.received.total, bounds.received.per_connection);
        assert_eq!(limits, (256 * MIB, 64 * MIB));
        assert_eq!(bounds.replies, bounds.received);
        let whatever = WireSettings::default().check(usize::MAX);
        assert!(whatever.is_ok());
        let bounds = WireSettings::default().check(100 * MIB).unwrap();
        let limits = (bounds.received.total, bounds.received.per_connection);
        let per_connection = 400 * MIB + 64 * 1024;
        assert_eq!(limits, (2 * per_connection, per_connection));
    }

    #[test]
    fn a_setting_that_does_not_fit_the_others_says_what_to_do() {
        let error = refused(
            WireSettings {
                received_bytes_per_connection: Some(15 * MIB),
                ..WireSettings::default()
            },
            4 * MIB,
        );
        assert!(
            error.contains("max_received_bytes_per_connection"),
            "{error}"
        );
        assert!(error.contains("set it to 16842752"), "{error}");
        let error = refused(
            WireSettings {
                received_bytes: Some(63 * MIB),
                ..WireSettings::default()
            },
            4 * MIB,
        );
        assert!(error.contains("max_received_bytes"), "{error}");
        assert!(error.contains("set it to 67108864"), "{error}");
    }
}
