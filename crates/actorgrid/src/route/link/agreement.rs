//! The agreement of both sides on a version and on features.

use super::hello::HelloFrame;
use super::link_error::LinkError;

/// The version and the features that both sides have agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Agreement {
    pub(crate) version: u16,
    /// The features that both sides have.
    pub(crate) features: u64,
}

/// Returns the version and the features of the link. Both sides call this and get the same result:
/// the server with a `Hello` that states all versions that it speaks, the client with the server's
/// answer, which states the chosen one.
///
/// # Errors
///
/// [`LinkError`] says why there is no link. A client that gets [`LinkError::Incarnation`] looks the
/// name up again.
pub(crate) fn agree(
    client: &HelloFrame<'_>,
    server: &HelloFrame<'_>,
) -> Result<Agreement, LinkError> {
    let version = client.versions.newest.min(server.versions.newest);
    if version < client.versions.oldest || version < server.versions.oldest {
        return Err(LinkError::Version {
            oldest: client.versions.oldest,
            newest: client.versions.newest,
        });
    }
    let missing = client.required & !server.features | server.required & !client.features;
    if missing != 0 {
        return Err(LinkError::Feature(missing));
    }
    if client.namespace != server.namespace {
        return Err(LinkError::Namespace);
    }
    if client.incarnation != 0 && client.incarnation != server.incarnation {
        return Err(LinkError::Incarnation);
    }
    Ok(Agreement {
        version,
        features: client.features & server.features,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::link::hello::{HelloLimits, LinkVersions};

    fn hello(oldest: u16, newest: u16) -> HelloFrame<'static> {
        HelloFrame {
            versions: LinkVersions { oldest, newest },
            features: 0b0111,
            required: 0,
            incarnation: 7,
            client: None,
            limits: HelloLimits::default(),
            namespace: "shop",
        }
    }

    #[test]
    fn the_newest_common_version_is_chosen() {
        for (client, server, version) in [
            ((1, 1), (1, 1), Some(1)),
            ((1, 2), (1, 1), Some(1)),
            ((1, 2), (2, 3), Some(2)),
            ((2, 5), (1, 4), Some(4)),
            ((2, 3), (1, 1), None),
            ((1, 1), (2, 3), None),
        ] {
            let agreed = agree(&hello(client.0, client.1), &hello(server.0, server.1));
            assert_eq!(agreed.ok().map(|agreed| agreed.version), version);
        }
    }

    #[test]
    fn each_side_can_require_features() {
        let ours = hello(1, 1);
        let theirs = HelloFrame {
            features: 0b1110,
            ..ours
        };
        assert_eq!(agree(&ours, &theirs).unwrap().features, 0b0110);
        let demanding = HelloFrame {
            required: 0b0011,
            ..ours
        };
        assert_eq!(agree(&demanding, &theirs), Err(LinkError::Feature(1)));
        assert_eq!(agree(&theirs, &demanding), Err(LinkError::Feature(1)));
    }

    #[test]
    fn another_grid_or_another_process_is_refused() {
        let server = hello(1, 1);
        let stranger = HelloFrame {
            namespace: "bank",
            ..server
        };
        assert_eq!(agree(&stranger, &server), Err(LinkError::Namespace));
        for (incarnation, is_accepted) in [(7, true), (0, true), (8, false)] {
            let client = HelloFrame {
                incarnation,
                ..server
            };
            let agreed = agree(&client, &server);
            assert_eq!(agreed.is_ok(), is_accepted);
            assert!(is_accepted || agreed == Err(LinkError::Incarnation));
        }
    }
}
