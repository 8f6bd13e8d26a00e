//! One etcd process.

use std::fs::File;
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::child::OwnedChild;
use crate::etcd_binary::EtcdBinary;
use crate::etcd_member::{EtcdMember, without_settings};
use crate::etcd_snapshot::EtcdSnapshot;

/// etcd answers well within a second; a machine under load gets much more.
pub(crate) const START_BOUND: Duration = Duration::from_secs(60);
/// When asked to end, etcd hands over leadership and syncs, which takes a few seconds at most.
const STOP_BOUND: Duration = Duration::from_secs(20);
/// The time limit of one health check. Without a leader, etcd itself would wait five seconds for
/// one.
const HEALTH_BOUND: Duration = Duration::from_secs(1);
const POLL: Duration = Duration::from_millis(10);
/// How many lines of its log are shown when it fails.
const LOG_TAIL: usize = 40;

/// An etcd process on free ports of the loopback, with its data in a temporary folder.
///
/// When dropped, it is killed and its folder is removed.
#[derive(Debug)]
pub struct Etcd {
    // Comes before the folder: fields are dropped in order, and a running etcd writes to the
    // folder.
    child: Option<OwnedChild>,
    folder: TempDir,
    binary: EtcdBinary,
    member: EtcdMember,
}

impl Etcd {
    /// Returns the program that is run, for tests that start an etcd themselves.
    ///
    /// # Panics
    ///
    /// Panics if no etcd is found.
    #[must_use]
    #[track_caller]
    pub fn program() -> std::path::PathBuf {
        EtcdBinary::find().path
    }

    /// Prepares an etcd without starting it.
    pub(crate) fn prepared(binary: EtcdBinary, member: EtcdMember) -> Self {
        let folder = match tempfile::Builder::new().prefix("actorgrid-etcd-").tempdir() {
            Ok(folder) => folder,
            Err(error) => panic!("no temporary folder for etcd's data: {error}"),
        };
        Self {
            child: None,
            folder,
            binary,
            member,
        }
    }

    /// Returns its URL, such as `etcd://127.0.0.1:2379`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("etcd://{}", self.address())
    }

    /// Returns the address at which it accepts clients.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.member.address()
    }

    /// Returns its version, such as `3.6.16`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.binary.version
    }

    /// Returns the id of its process, or `None` while it does not run.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.child.as_ref().map(OwnedChild::id)
    }

    /// Returns its log, over all restarts.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read(self.folder.path().join("log"))
            .map(|log| String::from_utf8_lossy(&log).into_owned())
            .unwrap_or_default()
    }

    /// Stops it gracefully with SIGTERM. Returns once it has ended.
    ///
    /// # Panics
    ///
    /// Panics if it does not end in time.
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

    /// Kills it with SIGKILL, like a crash. Returns once it has ended; its data stays.
    ///
    /// # Panics
    ///
    /// Panics if the system refuses.
    #[track_caller]
    pub fn kill(&mut self) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        if let Err(error) = child.kill() {
            panic!("etcd cannot be killed: {error}");
        }
    }

    /// Freezes it with SIGSTOP. Its connections stay open, and it answers nothing.
    ///
    /// # Panics
    ///
    /// Panics if it does not run.
    #[track_caller]
    pub fn pause(&mut self) {
        if let Err(error) = self.running().pause() {
            panic!("etcd cannot be paused: {error}");
        }
    }

    /// Resumes it with SIGCONT. Does not wait until it answers.
    ///
    /// # Panics
    ///
    /// Panics if it does not run.
    #[track_caller]
    pub fn resume(&mut self) {
        if let Err(error) = self.running().resume() {
            panic!("etcd cannot be resumed: {error}");
        }
    }

    /// Restarts it on the same ports and data, and waits until it answers. Kills it first if it
    /// still runs.
    ///
    /// # Panics
    ///
    /// Panics if it does not answer in time.
    #[track_caller]
    pub fn restart(&mut self) {
        self.kill();
        self.launch();
        self.wait_until_healthy();
    }

    /// Returns a copy of its data, for which it is stopped gracefully for a moment.
    ///
    /// # Panics
    ///
    /// Panics if it cannot be stopped, copied or started again.
    #[must_use]
    #[track_caller]
    pub fn snapshot(&mut self) -> EtcdSnapshot {
        self.stop();
        let snapshot = EtcdSnapshot::of(&self.folder.path().join("data"));
        self.restart();
        snapshot
    }

    /// Kills it and starts it on earlier data: the same cluster by its id, at an earlier revision.
    /// `etcdutl snapshot restore` does the same if it is given the previous settings.
    ///
    /// # Panics
    ///
    /// Panics if the data cannot be replaced, or etcd does not start.
    #[track_caller]
    pub fn restore(&mut self, snapshot: &EtcdSnapshot) {
        self.kill();
        snapshot.put_in_place_of(&self.folder.path().join("data"));
        self.restart();
    }

    /// Starts its process and returns at once. A member of a cluster that has lost its majority
    /// answers only once enough other members run.
    ///
    /// # Panics
    ///
    /// Panics if it runs already.
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
    /// Panics if it does not answer within a minute, or ends.
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

    /// Returns one of its metrics, such as `etcd_debugging_mvcc_watcher_total`, summed over all
    /// labels.
    ///
    /// # Panics
    ///
    /// Panics if it does not answer, or has no such metric.
    #[must_use]
    #[track_caller]
    pub fn metric(&self, name: &str) -> f64 {
        let answer = match self.member.get("/metrics", HEALTH_BOUND) {
            Ok(answer) => answer,
            Err(error) => panic!("etcd does not report its metrics: {error}"),
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

    /// Runs `etcdctl` against it and returns what that prints.
    ///
    /// ```no_run
    /// let etcd = testbed::Etcd::start();
    /// etcd.ctl(["put", "key", "value"]);
    /// assert_eq!(etcd.ctl(["get", "key", "--print-value-only"]), "value\n");
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if the command fails, or no `etcdctl` is found.
    #[track_caller]
    pub fn ctl<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> String {
        let program = self.binary.etcdctl();
        let output = without_settings(Command::new(&program))
            .arg(format!("--endpoints={}", self.member.client_url()))
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
            // Checked before the health: if etcd has died, another server may answer on its port.
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
        let mut command = self.member.command(&self.binary.path, self.folder.path());
        command.stdout(log.try_clone()?).stderr(log);
        OwnedChild::spawn(&mut command)
    }

    fn ask_health(&self) -> std::io::Result<bool> {
        let answer = self.member.get("/health", HEALTH_BOUND)?;
        Ok(answer.contains(" 200 OK\r\n") && answer.contains(r#""health":"true""#))
    }

    fn log_tail(&self) -> String {
        let log = self.log();
        let tail: Vec<&str> = log.lines().rev().take(LOG_TAIL).collect();
        let tail: Vec<&str> = tail.into_iter().rev().collect();
        format!("the end of its log:\n{}", tail.join("\n"))
    }
}
