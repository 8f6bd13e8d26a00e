//! Free ports for servers that are restarted on the same address.

use std::hash::{BuildHasher as _, RandomState};
use std::net::{Ipv4Addr, TcpListener};

/// The first port that needs no rights, and is not one of the many services just above 1024.
const LOWEST: u16 = 10_000;
/// Where the ports begin that the system gives to outgoing connections, unless it says otherwise.
const EPHEMERAL: u16 = 32_768;
/// So many taken ports in a row mean that something else is wrong.
const TRIES: u32 = 1_000;

/// Different ports of the loopback that were free a moment ago. They may be taken by the time they
/// are used, were it by a child that another thread is just starting and that has yet to close
/// what it inherits: whoever uses them tries again with others.
///
/// They lie below the ports of outgoing connections. One of those would do until its server is
/// killed: then a client that tries again and again is given, as the port of its own end, the very
/// port that it connects to, is connected to itself, and the server never gets its port back.
#[track_caller]
pub(crate) fn free_ports(count: usize) -> Vec<u16> {
    let range = LOWEST..first_ephemeral().max(LOWEST + 1_000);
    let random = RandomState::new();
    let ports = (0..TRIES).map(|attempt| {
        let offset = random.hash_one(attempt) % u64::from(range.end - range.start);
        // The remainder of a division by a 16-bit number is one.
        range.start + u16::try_from(offset).unwrap_or(0)
    });
    // Each is held until all are found, so that they differ.
    let held: Vec<_> = ports
        .filter_map(|port| Some((port, TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()?)))
        .take(count)
        .collect();
    assert!(
        held.len() == count,
        "of {TRIES} ports in {range:?} not {count} are free"
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
