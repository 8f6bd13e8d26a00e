//! One case to measure: the route, the size of the messages, and how many requests are in flight.

use std::fmt;

/// The way of a request to its actor.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Deserialize, serde::Serialize,
)]
#[serde(rename_all = "lowercase")]
pub enum LoadRoute {
    /// Caller and actor are on one peer, on the embedded registry.
    Local,
    /// Caller and actor are in two processes, with etcd as the registry.
    Process,
}

impl LoadRoute {
    /// Its name, as the option `--route` takes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Process => "process",
        }
    }
}

/// One case of the load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::Args, serde::Deserialize, serde::Serialize)]
pub struct LoadCase {
    /// The way of a request to its actor.
    #[arg(long, value_enum, default_value = "local")]
    pub route: LoadRoute,
    /// Requests under way at once; each is sent when the one before it is answered.
    #[arg(long, default_value_t = 64)]
    pub in_flight: usize,
    /// The length of each message and of its answer, encoded.
    #[arg(long, default_value_t = LoadCase::SMALL)]
    pub bytes: usize,
}

impl LoadCase {
    /// A message of the size of a name and a few numbers.
    pub const SMALL: usize = 60;
    /// A message that takes several packets.
    pub const LARGE: usize = 5_000;

    /// All cases that a comparison runs.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let mut cases = Vec::new();
        for route in [LoadRoute::Local, LoadRoute::Process] {
            for bytes in [Self::SMALL, Self::LARGE] {
                for in_flight in [1, 64, 1024] {
                    cases.push(Self {
                        route,
                        in_flight,
                        bytes,
                    });
                }
            }
        }
        cases
    }
}

impl fmt::Display for LoadCase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let route = self.route.as_str();
        let (bytes, in_flight) = (self.bytes, self.in_flight);
        write!(f, "{route:7} {bytes:5} B {in_flight:5} in flight")
    }
}
