//! Free ports for servers that are restarted on the same address.

use std::hash::{BuildHasher as _, RandomState};
use std::net::{Ipv4Addr, TcpListener};

/// The lowest port used: it needs no privileges, and is above the many services just above 1024.
const LOWEST: u16 = 10_000;
/// The first port that the system uses for outgoing connections, unless it reports another one.
const EPHEMERAL: u16 = 32_768;
/// How many ports to try. If this many are taken, something else is wrong.
const TRIES: u32 = 1_000;

/// Returns distinct ports of the loopback that were free a moment ago. They may be taken by the
/// time they are used, if only by a child that another thread is starting and that has not yet
/// closed the sockets that it inherits: callers must retry with other ports.
///
/// The ports lie below those of outgoing connections. One of the latter would work until its server
/// is killed. Then a client that keeps reconnecting may get, as its own local port, the very port
/// that it connects to; it is connected to itself, and the server never gets its port back.
#[track_caller]
pub(crate) fn free_ports(count: usize) -> Vec<u16> {
    let range = LOWEST..first_ephemeral().max(LOWEST + 1_000);
    let random = RandomState::new();
    let ports = (0..TRIES).map(|attempt| {
        let offset = random.hash_one(attempt) % u64::from(range.end - range.start);
        // The remainder of a division by a 16-bit number fits into 16 bits.
        range.start + u16::try_from(offset).unwrap_or(0)
    });
    // Keeps each port bound until all are found, so that they differ.
    let held: Vec<_> = ports
        .filter_map(|port| Some((port, TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()?)))
        .take(count)
        .collect();
    assert!(
        held.len() == count,
        "fewer than {count} of {TRIES} ports in {range:?} are free"
    );
    held.into_iter().map(|(port, _)| port).collect()
}

fn first_ephemeral() -> u16 {
    std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
        .ok()
        .and_then(|range| range.split_whitespace().next()?.parse().ok())
        .unwrap_or(EPHEMERAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differ_and_are_not_those_of_outgoing_connections() {
        let mut ports = free_ports(100);
        assert!(
            ports
                .iter()
                .all(|port| (LOWEST..first_ephemeral()).contains(port))
        );
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 100);
    }
}
