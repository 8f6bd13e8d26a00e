//! Parses the URL of an etcd cluster. Pure.

use std::fmt;
use std::path::PathBuf;

use crate::address::Address;
use crate::registry::{RegistryError, RegistryErrorKind};

const DEFAULT_PORT: u16 = 2379;

/// The endpoints of a cluster, and how to connect to them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EtcdTarget {
    /// At least one, without duplicates.
    pub(super) endpoints: Vec<Address>,
    pub(super) credentials: Option<Credentials>,
    pub(super) tls: Option<TlsFiles>,
}

/// A user name and its password.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Credentials {
    pub(super) user: String,
    pub(super) password: String,
}

// Must not show the password.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

/// The PEM files for connections over TLS.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct TlsFiles {
    /// The certificate authorities to trust; `None` for the system's.
    pub(super) ca: Option<PathBuf>,
    /// The client's certificate and its private key.
    pub(super) identity: Option<(PathBuf, PathBuf)>,
}

/// Parses the part of a URL after `etcd://`. No error contains the user or the password.
pub(super) fn parse(text: &str) -> Result<EtcdTarget, RegistryError> {
    let (text, query) = match text.split_once('?') {
        Some((text, query)) => (text, Some(query)),
        None => (text, None),
    };
    if query.is_some_and(|query| query.contains('@')) {
        let text = "in a user, password or file name, ? is written %3F and @ is written %40";
        return Err(invalid(text));
    }
    let (credentials, hosts) = match text.rsplit_once('@') {
        Some((credentials, hosts)) => (Some(credentials_of(credentials)?), hosts),
        None => (None, text),
    };
    let hosts = hosts.strip_suffix('/').unwrap_or(hosts);
    Ok(EtcdTarget {
        endpoints: endpoints_of(hosts)?,
        credentials,
        tls: query.map_or(Ok(None), tls_of)?,
    })
}

fn credentials_of(text: &str) -> Result<Credentials, RegistryError> {
    let (user, password) = text
        .split_once(':')
        .ok_or_else(|| invalid("a user and a password go before the @, as user:password"))?;
    let decode = |part| {
        decoded(part).ok_or_else(|| invalid("the user or the password contains a wrong %-escape"))
    };
    let (user, password) = (decode(user)?, decode(password)?);
    if user.is_empty() {
        return Err(invalid("the user before @ is empty"));
    }
    Ok(Credentials { user, password })
}

fn endpoints_of(hosts: &str) -> Result<Vec<Address>, RegistryError> {
    if hosts.is_empty() {
        return Err(invalid("there is no host: use etcd://host:2379"));
    }
    let mut endpoints = Vec::new();
    for (position, host) in hosts.split(',').enumerate() {
        // The error must not contain the text: if the host is missing, it is a password.
        let endpoint = endpoint_of(host).ok_or_else(|| {
            let number = position + 1;
            invalid(format!("endpoint {number} is not of the form host:port"))
        })?;
        if endpoints.contains(&endpoint) {
            return Err(invalid(format!("the endpoint {endpoint} is listed twice")));
        }
        endpoints.push(endpoint);
    }
    Ok(endpoints)
}

fn endpoint_of(host: &str) -> Option<Address> {
    let has_port = match host.strip_prefix('[') {
        Some(_) => !host.ends_with(']'),
        None => host.contains(':'),
    };
    let parsed = if has_port {
        host.parse()
    } else {
        format!("{host}:{DEFAULT_PORT}").parse()
    };
    parsed.ok().filter(|_| !host.contains('/'))
}

/// The options that may follow the hosts.
#[derive(Default)]
struct Options {
    tls: Option<String>,
    ca: Option<String>,
    cert: Option<String>,
    key: Option<String>,
}

fn tls_of(query: &str) -> Result<Option<TlsFiles>, RegistryError> {
    let mut options = Options::default();
    for option in query.split('&').filter(|option| !option.is_empty()) {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        let place = match name {
            "tls" => &mut options.tls,
            "ca" => &mut options.ca,
            "cert" => &mut options.cert,
            "key" => &mut options.key,
            _ => {
                return Err(invalid(format!(
                    "unknown option {name:?}: use tls, ca, cert and key"
                )));
            }
        };
        let value = decoded(value).filter(|value| !value.is_empty());
        let value = value.ok_or_else(|| invalid(format!("the option {name} has no value")))?;
        if place.replace(value).is_some() {
            return Err(invalid(format!("the option {name} is given twice")));
        }
    }
    let Options { tls, ca, cert, key } = options;
    let identity = match (cert, key) {
        (Some(cert), Some(key)) => Some((cert.into(), key.into())),
        (None, None) => None,
        (Some(_), None) => return Err(invalid("cert needs key: the key of the certificate")),
        (None, Some(_)) => return Err(invalid("key needs cert: the certificate of the key")),
    };
    let files = TlsFiles {
        ca: ca.map(PathBuf::from),
        identity,
    };
    match tls.as_deref() {
        Some("true") => Ok(Some(files)),
        None => Ok((files != TlsFiles::default()).then_some(files)),
        Some("false") if files == TlsFiles::default() => Ok(None),
        Some("false") => Err(invalid("tls=false contradicts ca, cert and key")),
        Some(_) => Err(invalid("tls must be true or false")),
    }
}

/// Decodes %-escapes.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let mut digit = || char::from(rest.next()?).to_digit(16);
            let value = digit()? * 16 + digit()?;
            bytes.push(u8::try_from(value).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

fn invalid(what: impl fmt::Display) -> RegistryError {
    RegistryError::new(
        RegistryErrorKind::Url,
        format!("the etcd URL is invalid: {what}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(endpoints: &[&str]) -> EtcdTarget {
        EtcdTarget {
            endpoints: endpoints.iter().map(|e| e.parse().unwrap()).collect(),
            credentials: None,
            tls: None,
        }
    }

    fn user(user: &str, password: &str) -> Option<Credentials> {
        Some(Credentials {
            user: user.to_owned(),
            password: password.to_owned(),
        })
    }

    fn tls(ca: Option<&str>, identity: Option<(&str, &str)>) -> Option<TlsFiles> {
        Some(TlsFiles {
            ca: ca.map(PathBuf::from),
            identity: identity.map(|(cert, key)| (cert.into(), key.into())),
        })
    }

    #[test]
    fn reads_every_form() {
        let one = target(&["h:2379"]);
        for (text, expected) in [
            ("h:2379", one.clone()),
            ("h", one.clone()),
            ("h/", one.clone()),
            ("h?", one.clone()),
            ("h?tls=false", one.clone()),
            ("a:1,b,[::1]:3", target(&["a:1", "b:2379", "[::1]:3"])),
            ("[::1]", target(&["[::1]:2379"])),
            (
                "root:pass@h",
                EtcdTarget {
                    credentials: user("root", "pass"),
                    ..one.clone()
                },
            ),
            (
                "a%40b:p%3A%2f@w:@h",
                EtcdTarget {
                    credentials: user("a@b", "p:/@w:"),
                    ..one.clone()
                },
            ),
            (
                "root:@h",
                EtcdTarget {
                    credentials: user("root", ""),
                    ..one.clone()
                },
            ),
            (
                "h?tls=true",
                EtcdTarget {
                    tls: tls(None, None),
                    ..one.clone()
                },
            ),
            (
                "h?ca=/etc/a%26b.pem",
                EtcdTarget {
                    tls: tls(Some("/etc/a&b.pem"), None),
                    ..one.clone()
                },
            ),
            (
                "h?cert=c.pem&key=k.pem&ca=ca.pem&tls=true",
                EtcdTarget {
                    tls: tls(Some("ca.pem"), Some(("c.pem", "k.pem"))),
                    ..one
                },
            ),
        ] {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn errors_say_what_is_wrong_but_not_the_password() {
        for (text, what) in [
            ("", "there is no host"),
            ("?tls=true", "there is no host"),
            ("u:secret@", "there is no host"),
            ("h,,i", "endpoint 2 is not of the form host:port"),
            ("h:x", "endpoint 1 is not of the form host:port"),
            ("h:0", "endpoint 1 is not of the form host:port"),
            ("h/path", "endpoint 1 is not of the form host:port"),
            ("root:secret", "endpoint 1 is not of the form host:port"),
            ("root:sec?secret@h", "? is written %3F"),
            ("h,h:2379", "the endpoint h:2379 is listed twice"),
            ("secret@h", "user:password"),
            (":secret@h", "the user before @ is empty"),
            ("u:secret%4@h", "wrong %-escape"),
            ("u:secret%zz@h", "wrong %-escape"),
            ("u:secret%ff@h", "wrong %-escape"),
            ("h?user=x", "unknown option \"user\""),
            ("h?ca", "the option ca has no value"),
            ("h?ca=a&ca=b", "the option ca is given twice"),
            ("h?cert=a", "cert needs key"),
            ("h?key=a", "key needs cert"),
            ("h?tls=yes", "tls must be true or false"),
            ("h?tls=false&ca=a", "contradicts"),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error.kind(), RegistryErrorKind::Url, "{text}");
            let said = error.to_string();
            assert!(said.contains(what), "{text}: {said}");
            assert!(!said.contains("secret"), "{text}: {said}");
        }
    }

    #[test]
    fn nothing_shows_the_password() {
        let shown = format!("{:?}", parse("u:secret@h").unwrap());
        assert!(!shown.contains("secret"), "{shown}");
    }
}
