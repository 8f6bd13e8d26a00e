//! The share of the machine that a run did not have.

/// Beside a run that counts, other processes used at most this share of the machine.
const MAX_FOREIGN_SHARE: f64 = 0.08;
/// During a run that counts, the hypervisor took at most this share of the machine.
const MAX_STEAL_SHARE: f64 = 0.04;

/// The shares of the machine's CPU time that the run did not have.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct Noise {
    /// The share of processes that are not part of the run.
    pub foreign_share: f64,
    /// The share that the hypervisor gave to others.
    pub steal_share: f64,
}

impl Noise {
    /// Whether the run had the machine to itself, as far as one can ask.
    #[must_use]
    pub fn is_quiet(self) -> bool {
        self.foreign_share <= MAX_FOREIGN_SHARE && self.steal_share <= MAX_STEAL_SHARE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_of_either_kind_spoils_a_run() {
        let quiet = |foreign_share, steal_share| {
            let noise = Noise {
                foreign_share,
                steal_share,
            };
            noise.is_quiet()
        };
        assert!(quiet(0.0, 0.0));
        assert!(quiet(0.08, 0.04));
        assert!(!quiet(0.081, 0.0));
        assert!(!quiet(0.0, 0.041));
    }
}
