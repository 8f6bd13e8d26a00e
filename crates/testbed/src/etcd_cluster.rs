//! Several etcd processes that form a cluster.

use crate::etcd::{Etcd, Member, START_BOUND};
use crate::etcd_binary::EtcdBinary;

/// A port that was free may be taken by the time etcd binds it; so many times in a row it is not.
const ATTEMPTS: u32 = 5;
/// What etcd logs then.
const TAKEN: &str = "address already in use";

/// An etcd cluster on the loopback.
#[derive(Debug)]
pub struct EtcdCluster {
    members: Vec<Etcd>,
}

impl EtcdCluster {
    /// Starts so many members and waits until each answers.
    ///
    /// # Panics
    ///
    /// As [`Etcd::start`].
    #[must_use]
    #[track_caller]
    pub fn start(size: usize) -> Self {
        Self {
            members: Self::members_on_free_ports(size, &[]),
        }
    }

    /// The URL that lists all members.
    #[must_use]
    pub fn url(&self) -> String {
        let addresses: Vec<_> = self
            .members
            .iter()
            .map(|m| m.address().to_string())
            .collect();
        format!("etcd://{}", addresses.join(","))
    }

    /// Its members, in the order of the URL.
    #[must_use]
    pub fn members(&self) -> &[Etcd] {
        &self.members
    }

    /// Its members, to be killed, paused and restarted.
    #[must_use]
    pub fn members_mut(&mut self) -> &mut [Etcd] {
        &mut self.members
    }

    #[track_caller]
    pub(crate) fn members_on_free_ports(size: usize, options: &[String]) -> Vec<Etcd> {
        assert!(size > 0, "a cluster has a member");
        let binary = EtcdBinary::find();
        let mut attempt = 1;
        loop {
            match start_members(&binary, size, options) {
                Ok(members) => return members,
                Err(why) if attempt < ATTEMPTS && why.contains(TAKEN) => attempt += 1,
                Err(why) => panic!("etcd did not start: {why}"),
            }
        }
    }
}

fn start_members(
    binary: &EtcdBinary,
    size: usize,
    options: &[String],
) -> Result<Vec<Etcd>, String> {
    let members = Member::on_free_ports(size);
    let cluster = members
        .iter()
        .map(Member::initial)
        .collect::<Vec<_>>()
        .join(",");
    let prepare = |member| Etcd::prepared(binary.clone(), member, cluster.clone(), options.into());
    let mut members: Vec<_> = members.into_iter().map(prepare).collect();
    members.iter_mut().for_each(Etcd::launch);
    for member in &mut members {
        member.became_healthy(START_BOUND)?;
    }
    Ok(members)
}
