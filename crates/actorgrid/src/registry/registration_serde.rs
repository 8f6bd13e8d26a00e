//! Serializes registrations with serde. The form differs from the value in the registry, which is
//! the Go library's.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::capabilities::Capabilities;
use super::kind::Kind;
use super::link_announcement::WrittenLink;
use super::registration::Registration;
use crate::address::Address;
use crate::name::Name;
use crate::token::Token;

/// A [`Registration`] with field types that serialize.
#[derive(Serialize, Deserialize)]
struct RegistrationForm {
    kind: Kind,
    name: Name,
    peer: Name,
    address: Address,
    #[serde(default)]
    annotations: Vec<String>,
    token: Token,
    /// Whether a peer of this library wrote the registration: peers of the Go library can do less.
    #[serde(default)]
    actorgrid: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    link: Option<WrittenLink>,
}

impl Serialize for Registration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let form = RegistrationForm {
            kind: self.kind,
            name: self.name.clone(),
            peer: self.peer.clone(),
            address: self.address.clone(),
            annotations: self.annotations.to_vec(),
            token: self.token,
            actorgrid: self.capabilities.is_actorgrid(),
            link: self.capabilities.link().map(WrittenLink::from),
        };
        form.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Registration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let form = RegistrationForm::deserialize(deserializer)?;
        Ok(Self {
            kind: form.kind,
            name: form.name,
            peer: form.peer,
            address: form.address,
            annotations: form.annotations.into(),
            token: form.token,
            capabilities: Capabilities::of(form.actorgrid)
                .with_link(form.link.and_then(|link| link.read())),
        })
    }
}
