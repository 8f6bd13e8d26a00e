//! One etcd process.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::child::OwnedChild;
use crate::etcd_binary::EtcdBinary;
use crate::etcd_cluster::EtcdCluster;
use crate::ports::free_ports;

/// An etcd answers well within a second; a machine under load gets much more.
pub(crate) const START_BOUND: Duration = Duration::from_secs(60);
/// etcd hands over and syncs when it is asked to end, which takes it a few seconds at most.
const STOP_BOUND: Duration = Duration::from_secs(20);
/// How long one question for its health may take. Without a leader etcd itself would look for one
/// for five seconds.
const HEALTH_BOUND: Duration = Duration::from_secs(1);
const POLL: Duration = Duration::from_millis(10);
/// So many lines of its log are shown when it fails.
const LOG_TAIL: usize = 40;

/// An etcd process on free ports of the loopback, with its data in a temporary folder.
///
/// Dropped, it is killed and its folder removed.
#[derive(Debug)]
pub struct Etcd {
    // Before the folder: fields are dropped in this order, and a running etcd writes there.
    child: Option<OwnedChild>,
    folder: TempDir,
    binary: EtcdBinary,
    member: Member,
    initial_cluster: String,
    options: Vec<String>,
}

/// What a member of a cluster is known by.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    name: String,
    client_port: u16,
    peer_port: u16,
    /// Health is asked for here, in plain HTTP also where clients use TLS.
    metrics_port: u16,
}

impl Member {
    /// So many members, all on different ports.
    #[track_caller]
    pub(crate) fn on_free_ports(count: usize) -> Vec<Self> {
        let ports = free_ports(3 * count);
        let member = |(index, ports): (usize, &[u16])| Self {
            name: format!("member-{index}"),
            client_port: ports[0],
            peer_port: ports[1],
            metrics_port: ports[2],
        };
        ports.chunks_exact(3).enumerate().map(member).collect()
    }

    pub(crate) fn initial(&self) -> String {
        format!("{}=http://127.0.0.1:{}", self.name, self.peer_port)
    }
}

impl Etcd {
    /// The program that is run: for tests that start one in a way of their own.
    ///
    /// # Panics
    ///
    /// If there is none.
    #[must_use]
    #[track_caller]
    pub fn program() -> std::path::PathBuf {
        EtcdBinary::find().path
    }

    /// Starts an etcd and waits until it answers.
    ///
    /// # Panics
    ///
    /// Where there is no etcd (`make etcd` provides one), or it does not answer in time.
    #[must_use]
    #[track_caller]
    pub fn start() -> Self {
        Self::start_with([""; 0])
    }

    /// Starts an etcd with further options, such as `--quota-backend-bytes=1000000`.
    ///
    /// With `--cert-file=` among them, clients have to use TLS.
    ///
    /// # Panics
    ///
    /// As [`Etcd::start`].
    #[must_use]
    #[track_caller]
    pub fn start_with<O: Into<String>>(options: impl IntoIterator<Item = O>) -> Self {
        let options: Vec<String> = options.into_iter().map(Into::into).collect();
        EtcdCluster::members_on_free_ports(1, &options).remove(0)
    }

    /// Starts a cluster of several members and waits until each answers.
    ///
    /// # Panics
    ///
    /// As [`Etcd::start`].
    #[must_use]
    #[track_caller]
    pub fn cluster(size: usize) -> EtcdCluster {
        EtcdCluster::start(size)
    }

    pub(crate) fn prepared(
        binary: EtcdBinary,
        member: Member,
        initial_cluster: String,
        options: Vec<String>,
    ) -> Self {
        let folder = match tempfile::Builder::new().prefix("actorgrid-etcd-").tempdir() {
            Ok(folder) => folder,
            Err(error) => panic!("no temporary folder for etcd's data: {error}"),
        };
        Self {
            child: None,
            folder,
            binary,
            member,
            initial_cluster,
            options,
        }
    }

    /// Its URL, such as `etcd://127.0.0.1:2379`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("etcd://{}", self.address())
    }

    /// Where it takes clients.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.member.client_port).into()
    }

    /// Its version, such as `3.6.16`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.binary.version
    }

    /// The id of its process, `None` while there is none.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.child.as_ref().map(OwnedChild::id)
    }

    /// What it has logged, over all its lives.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read(self.folder.path().join("log"))
            .map(|log| String::from_utf8_lossy(&log).into_owned())
            .unwrap_or_default()
    }

    /// Ends it in order: SIGTERM. Returns once it has gone.
    ///
    /// # Panics
    ///
    /// If it does not end in time.
    #[track_caller]
    pub fn stop(&mut self) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        if let Err(error) = child.resume().and_then(|()| child.terminate()) {
            panic!("etcd cannot be stopped: {error}");
        }
        match child.wait(STOP_BOUND) {
            Ok(Some(_)) => {}
            Ok(None) => panic!(
                "etcd did not stop within {STOP_BOUND:?}: {}",
                self.log_tail()
            ),
            Err(error) => panic!("etcd cannot be waited for: {error}"),
        }
    }

    /// Ends it as a crash does: SIGKILL. Returns once it has gone; its data stays.
    ///
    /// # Panics
    ///
    /// If the system refuses.
    #[track_caller]
    pub fn kill(&mut self) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        if let Err(error) = child.kill() {
            panic!("etcd cannot be killed: {error}");
        }
    }

    /// Freezes it: SIGSTOP. Its connections stay open and nothing is answered.
    ///
    /// # Panics
    ///
    /// If it does not run.
    #[track_caller]
    pub fn pause(&mut self) {
        if let Err(error) = self.running().pause() {
            panic!("etcd cannot be paused: {error}");
        }
    }

    /// Lets it go on: SIGCONT. Does not wait until it answers.
    ///
    /// # Panics
    ///
    /// If it does not run.
    #[track_caller]
    pub fn resume(&mut self) {
        if let Err(error) = self.running().resume() {
            panic!("etcd cannot be resumed: {error}");
        }
    }

    /// Starts it again on the same ports and data, after a kill if it still runs, and waits until
    /// it answers.
    ///
    /// # Panics
    ///
    /// If it does not answer in time.
    #[track_caller]
    pub fn restart(&mut self) {
        self.kill();
        self.launch();
        self.wait_until_healthy();
    }

    /// Starts its process and returns at once. A member of a cluster that has lost its majority
    /// answers only once others run as well.
    ///
    /// # Panics
    ///
    /// If it runs already.
    #[track_caller]
    pub fn launch(&mut self) {
        assert!(self.child.is_none(), "etcd runs already");
        match self.spawn() {
            Ok(child) => self.child = Some(child),
            Err(error) => panic!("{} cannot be run: {error}", self.binary.path.display()),
        }
    }

    /// Waits until it answers.
    ///
    /// # Panics
    ///
    /// If it does not within a minute, or ends.
    #[track_caller]
    pub fn wait_until_healthy(&mut self) {
        if let Err(why) = self.became_healthy(START_BOUND) {
            panic!("{why}");
        }
    }

    /// Whether it answers within a second, which it does while its cluster has a leader.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        TcpStream::connect_timeout(&self.address(), HEALTH_BOUND).is_ok()
            && self.ask_health().is_ok_and(|healthy| healthy)
    }

    /// One of its metrics, such as `etcd_debugging_mvcc_watcher_total`; the sum of those that
    /// differ in their labels alone.
    ///
    /// # Panics
    ///
    /// If it does not answer, or has no such metric.
    #[must_use]
    #[track_caller]
    pub fn metric(&self, name: &str) -> f64 {
        let answer = match self.ask("/metrics") {
            Ok(answer) => answer,
            Err(error) => panic!("etcd does not tell its metrics: {error}"),
        };
        let value = |line: &str| {
            let rest = line.strip_prefix(name)?;
            let unlabelled = rest.starts_with(' ') || rest.starts_with('{');
            let value = rest.rsplit(' ').next().filter(|_| unlabelled)?;
            value.parse::<f64>().ok()
        };
        let values: Vec<f64> = answer.lines().filter_map(value).collect();
        assert!(!values.is_empty(), "etcd has no metric {name}");
        values.iter().sum()
    }

    /// Runs `etcdctl` against it and returns what it prints.
    ///
    /// ```no_run
    /// let etcd = testbed::Etcd::start();
    /// etcd.ctl(["put", "key", "value"]);
    /// assert_eq!(etcd.ctl(["get", "key", "--print-value-only"]), "value\n");
    /// ```
    ///
    /// # Panics
    ///
    /// If it fails, or there is no `etcdctl`.
    #[track_caller]
    pub fn ctl<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> String {
        let program = self.binary.etcdctl();
        let output = without_settings(Command::new(&program))
            .arg(format!("--endpoints={}", self.client_url()))
            .args(arguments)
            .output();
        match output {
            Ok(output) if output.status.success() => {
                String::from_utf8_lossy(&output.stdout).into_owned()
            }
            Ok(output) => panic!("etcdctl failed: {output:?}"),
            Err(error) => panic!("{} cannot be run: {error}", program.display()),
        }
    }

    pub(crate) fn became_healthy(&mut self, bound: Duration) -> Result<(), String> {
        let start = Instant::now();
        loop {
            let child = self.child.as_mut().ok_or("etcd does not run")?;
            // Asked first: what answers in place of a dead etcd is something else on its port.
            if let Some(status) = child.ended().map_err(|error| error.to_string())? {
                self.child = None;
                return Err(format!("etcd ended ({status}): {}", self.log_tail()));
            }
            if self.is_healthy() {
                return Ok(());
            }
            if start.elapsed() >= bound {
                return Err(format!(
                    "etcd does not answer within {bound:?}: {}",
                    self.log_tail()
                ));
            }
            std::thread::sleep(POLL);
        }
    }

    #[track_caller]
    fn running(&mut self) -> &mut OwnedChild {
        match self.child.as_mut() {
            Some(child) => child,
            None => panic!("etcd does not run"),
        }
    }

    fn spawn(&self) -> std::io::Result<OwnedChild> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.folder.path().join("log"))?;
        let Member {
            name,
            client_port: _,
            peer_port,
            metrics_port,
        } = &self.member;
        let (client, peer) = (self.client_url(), format!("http://127.0.0.1:{peer_port}"));
        let mut command = without_settings(Command::new(&self.binary.path));
        command
            .arg(format!("--name={name}"))
            .arg(format!(
                "--data-dir={}",
                self.folder.path().join("data").display()
            ))
            .arg(format!("--listen-client-urls={client}"))
            .arg(format!("--advertise-client-urls={client}"))
            .arg(format!("--listen-peer-urls={peer}"))
            .arg(format!("--initial-advertise-peer-urls={peer}"))
            .arg(format!(
                "--listen-metrics-urls=http://127.0.0.1:{metrics_port}"
            ))
            .arg(format!("--initial-cluster={}", self.initial_cluster))
            .arg("--initial-cluster-state=new")
            // Every cluster has an id of its own: it is made of the members' addresses and this.
            .arg(format!("--initial-cluster-token={}", self.initial_cluster))
            // No power is cut here: what a killed process has written, its successor reads.
            .arg("--unsafe-no-fsync")
            .args(&self.options)
            .stdin(std::process::Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        OwnedChild::spawn(&mut command)
    }

    fn client_url(&self) -> String {
        let tls = self
            .options
            .iter()
            .any(|option| option.starts_with("--cert-file"));
        format!(
            "{}://{}",
            if tls { "https" } else { "http" },
            self.address()
        )
    }

    fn ask_health(&self) -> std::io::Result<bool> {
        let answer = self.ask("/health")?;
        Ok(answer.contains(" 200 OK\r\n") && answer.contains(r#""health":"true""#))
    }

    fn ask(&self, path: &str) -> std::io::Result<String> {
        let address = (Ipv4Addr::LOCALHOST, self.member.metrics_port).into();
        let mut stream = TcpStream::connect_timeout(&address, HEALTH_BOUND)?;
        stream.set_read_timeout(Some(HEALTH_BOUND))?;
        stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    fn log_tail(&self) -> String {
        let log = self.log();
        let tail: Vec<&str> = log.lines().rev().take(LOG_TAIL).collect();
        let tail: Vec<&str> = tail.into_iter().rev().collect();
        format!("the end of its log:\n{}", tail.join("\n"))
    }
}

/// Without the settings that etcd and etcdctl would take from the environment of the tests, but
/// for the one that lets old releases run on newer machines.
fn without_settings(mut command: Command) -> Command {
    for (name, _) in std::env::vars_os() {
        let setting = name.to_string_lossy();
        if setting.starts_with("ETCD") && setting != "ETCD_UNSUPPORTED_ARCH" {
            command.env_remove(&name);
        }
    }
    command
}
