//! Starts etcd processes on free ports.

use crate::etcd::{Etcd, START_BOUND};
use crate::etcd_binary::EtcdBinary;
use crate::etcd_member::EtcdMember;

/// A free port may be taken by the time etcd binds it, but not this many times in a row.
const ATTEMPTS: u32 = 5;
/// The text that etcd logs if a port is taken.
const PORT_TAKEN: &str = "address already in use";

impl Etcd {
    /// Starts an etcd and waits until it answers.
    ///
    /// # Panics
    ///
    /// Panics if no etcd is found (`make etcd` provides one), or it does not answer in time.
    #[must_use]
    #[track_caller]
    pub fn start() -> Self {
        Self::start_with([""; 0])
    }

    /// Starts an etcd with additional options, such as `--quota-backend-bytes=1000000`.
    ///
    /// With `--cert-file=` among them, clients have to use TLS.
    ///
    /// # Panics
    ///
    /// Panics as [`Etcd::start`] does.
    #[must_use]
    #[track_caller]
    pub fn start_with<O: Into<String>>(options: impl IntoIterator<Item = O>) -> Self {
        let options: Vec<String> = options.into_iter().map(Into::into).collect();
        Self::start_members(1, &options).remove(0)
    }

    /// Starts the members of one cluster and waits until each answers.
    #[track_caller]
    pub(crate) fn start_members(size: usize, options: &[String]) -> Vec<Self> {
        assert!(size > 0, "a cluster has at least one member");
        let binary = EtcdBinary::find();
        let mut attempt = 1;
        loop {
            match attempt_members(&binary, size, options) {
                Ok(members) => return members,
                Err(why) if attempt < ATTEMPTS && why.contains(PORT_TAKEN) => attempt += 1,
                Err(why) => panic!("etcd did not start: {why}"),
            }
        }
    }
}

fn attempt_members(
    binary: &EtcdBinary,
    size: usize,
    options: &[String],
) -> Result<Vec<Etcd>, String> {
    let members = EtcdMember::on_free_ports(size, options).into_iter();
    let prepare = |member| Etcd::prepared(binary.clone(), member);
    let mut members: Vec<_> = members.map(prepare).collect();
    members.iter_mut().for_each(Etcd::launch);
    for member in &mut members {
        member.became_healthy(START_BOUND)?;
    }
    Ok(members)
}
