//! The description of a contender in the report.

/// The differences between contenders beside their speed.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub struct About {
    /// The name in tables and plots.
    pub name: String,
    /// The version that was measured.
    pub version: String,
    /// How messages are encoded, and whether they are typed.
    pub messages: String,
    /// How a request finds its receiver.
    pub names: String,
    /// Which deadline a request has.
    pub deadline: String,
    /// Whether the connection is encrypted.
    pub encryption: String,
    /// Settings that are not the library's defaults, and what else a reader must know.
    pub settings: String,
}
