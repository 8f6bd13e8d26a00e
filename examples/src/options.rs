//! The options of a grid, and the peers that they describe.

use std::num::NonZeroUsize;
use std::time::Duration;

use actorgrid::{BoxError, DEFAULT_LEASE_TTL, Registry, RegistryError, Server, ServerBuilder};
use clap::Args;

/// The options of every example: where its grid is, and how its peers take part.
#[derive(Debug, Clone, Args)]
pub struct GridOptions {
    /// The URL of the registry. `memory:` exists only within this process.
    #[arg(long, value_name = "URL", default_value = "memory:")]
    pub registry: String,
    /// The namespace of the grid [default: the program's name]
    #[arg(long)]
    pub namespace: Option<String>,
    /// Where to listen. Each additional peer of this process takes the next port, or a free one if
    /// the port is 0.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:0")]
    pub address: String,
    /// The address at which other peers reach this one, if it is not the one listened on. Its port
    /// also increases with each peer.
    #[arg(long, value_name = "HOST:PORT")]
    pub advertise: Option<String>,
    /// How long the names of a crashed peer stay taken: `15s`, `1m`.
    #[arg(long, value_name = "TIME", default_value_t = humantime::Duration::from(DEFAULT_LEASE_TTL))]
    pub lease_ttl: humantime::Duration,
    /// The number of peers in this process [default: 3 with the memory registry, else 1]
    #[arg(long, value_name = "N")]
    pub peers: Option<NonZeroUsize>,
}

impl GridOptions {
    /// Whether the grid exists only within this process.
    #[must_use]
    pub fn is_in_memory(&self) -> bool {
        self.registry.starts_with("memory:")
    }

    /// Returns the number of peers in this process.
    #[must_use]
    pub fn peers(&self) -> usize {
        let default = if self.is_in_memory() { 3 } else { 1 };
        self.peers.map_or(default, NonZeroUsize::get)
    }

    /// Connects to the registry.
    ///
    /// # Errors
    ///
    /// Fails as [`Registry::connect`] does.
    pub async fn connect(&self) -> Result<Registry, RegistryError> {
        Registry::connect(&self.registry).await
    }

    /// Starts the peers of this process. `configure` registers their actor types.
    ///
    /// # Errors
    ///
    /// Fails if an address or a setting is invalid, or if a peer cannot be started. Peers that were
    /// already started are dropped.
    pub async fn serve(
        &self,
        registry: &Registry,
        default_namespace: &str,
        configure: impl Fn(ServerBuilder) -> ServerBuilder,
    ) -> Result<Vec<Server>, BoxError> {
        let namespace = self.namespace.as_deref().unwrap_or(default_namespace);
        let mut servers = Vec::with_capacity(self.peers());
        for index in 0..self.peers() {
            let mut builder = Server::builder(namespace, registry.clone())
                .lease_ttl(Duration::from(self.lease_ttl));
            if let Some(advertise) = &self.advertise {
                builder = builder.advertise(nth_address(advertise, index)?);
            }
            let address = nth_address(&self.address, index)?;
            servers.push(configure(builder).bind(address).await?);
        }
        Ok(servers)
    }
}

/// Returns the address of peer number `index`: the port is higher by `index`, unless it is 0.
fn nth_address(text: &str, index: usize) -> Result<String, BoxError> {
    let parsed = text
        .rsplit_once(':')
        .and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
    let Some((host, port)) = parsed else {
        return Err(format!("the address {text:?} is not host:port").into());
    };
    if port == 0 {
        return Ok(text.to_owned());
    }
    let port = u16::try_from(index)
        .ok()
        .and_then(|index| port.checked_add(index))
        .ok_or_else(|| format!("no port is left for peer {index}, counting from {text:?}"))?;
    Ok(format!("{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::nth_address;

    #[test]
    fn each_additional_peer_takes_the_next_port() {
        assert_eq!(nth_address("localhost:0", 2).unwrap(), "localhost:0");
        assert_eq!(nth_address("[::1]:7000", 2).unwrap(), "[::1]:7002");
        assert!(nth_address("localhost:65535", 1).is_err());
        assert!(nth_address("localhost", 0).is_err());
        assert!(nth_address("localhost:x", 0).is_err());
    }
}
