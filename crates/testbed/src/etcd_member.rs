//! The ports and the command line of one etcd process.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::ports::free_ports;

/// A member of a cluster: its name, its ports, and the cluster that it belongs to.
#[derive(Debug, Clone)]
pub(crate) struct EtcdMember {
    name: String,
    client_port: u16,
    peer_port: u16,
    /// Serves health checks in plain HTTP, even where clients use TLS.
    metrics_port: u16,
    /// All members of the cluster, as etcd's `--initial-cluster` takes them.
    initial_cluster: String,
    options: Vec<String>,
}

impl EtcdMember {
    /// Creates the members of one cluster, all on different ports.
    #[track_caller]
    pub(crate) fn on_free_ports(count: usize, options: &[String]) -> Vec<Self> {
        let ports = free_ports(3 * count);
        let member = |(index, ports): (usize, &[u16])| Self {
            name: format!("member-{index}"),
            client_port: ports[0],
            peer_port: ports[1],
            metrics_port: ports[2],
            initial_cluster: String::new(),
            options: options.to_vec(),
        };
        let mut members: Vec<_> = ports.chunks_exact(3).enumerate().map(member).collect();
        let initial = |member: &Self| format!("{}={}", member.name, member.peer_url());
        let initial_cluster = members.iter().map(initial).collect::<Vec<_>>().join(",");
        for member in &mut members {
            member.initial_cluster.clone_from(&initial_cluster);
        }
        members
    }

    /// Returns the address at which it accepts clients.
    pub(crate) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.client_port).into()
    }

    pub(crate) fn client_url(&self) -> String {
        let is_certificate = |option: &String| option.starts_with("--cert-file");
        let tls = self.options.iter().any(is_certificate);
        let scheme = if tls { "https" } else { "http" };
        format!("{scheme}://{}", self.address())
    }

    fn peer_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.peer_port)
    }

    /// Returns the command that runs it with its data in `folder`.
    pub(crate) fn command(&self, program: &Path, folder: &Path) -> Command {
        let (client, peer) = (self.client_url(), self.peer_url());
        let mut command = without_settings(Command::new(program));
        command
            .arg(format!("--name={}", self.name))
            .arg(format!("--data-dir={}", folder.join("data").display()))
            .arg(format!("--listen-client-urls={client}"))
            .arg(format!("--advertise-client-urls={client}"))
            .arg(format!("--listen-peer-urls={peer}"))
            .arg(format!("--initial-advertise-peer-urls={peer}"))
            .arg(format!(
                "--listen-metrics-urls=http://127.0.0.1:{}",
                self.metrics_port
            ))
            .arg(format!("--initial-cluster={}", self.initial_cluster))
            .arg("--initial-cluster-state=new")
            // Gives every cluster its own id, which etcd derives from the members' addresses and
            // this token.
            .arg(format!("--initial-cluster-token={}", self.initial_cluster))
            // No power is lost here: a successor reads what a killed process has written.
            .arg("--unsafe-no-fsync")
            .args(&self.options)
            .stdin(Stdio::null());
        command
    }

    /// Sends a GET to its metrics server; returns the answer with its header.
    pub(crate) fn get(&self, path: &str, bound: Duration) -> std::io::Result<String> {
        let address = (Ipv4Addr::LOCALHOST, self.metrics_port).into();
        let mut stream = TcpStream::connect_timeout(&address, bound)?;
        stream.set_read_timeout(Some(bound))?;
        stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }
}

/// Removes the settings that etcd and etcdctl would take from the environment of the tests, except
/// the one that lets old releases run on newer machines.
pub(crate) fn without_settings(mut command: Command) -> Command {
    for (name, _) in std::env::vars_os() {
        let setting = name.to_string_lossy();
        if setting.starts_with("ETCD") && setting != "ETCD_UNSUPPORTED_ARCH" {
            command.env_remove(&name);
        }
    }
    command
}
