//! The result of one run.

use std::fmt;

use bench_kit::Noise;

use crate::case::LoadCase;

/// The figures of one run of a case.
#[derive(Debug, Clone, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct Measurement {
    /// The case that was run.
    #[serde(flatten)]
    pub case: LoadCase,
    /// How long was measured, in seconds.
    pub seconds: f64,
    /// Answered requests a second.
    pub requests_per_second: f64,
    /// The median latency, in microseconds.
    pub p50_micros: f64,
    /// The latency that one of a hundred requests exceeds, in microseconds.
    pub p99_micros: f64,
    /// The CPU time of the calling process per request, in microseconds. With the local route the
    /// actor is in the same process.
    pub caller_cpu_micros: f64,
    /// The CPU time of the actor's process per request, in microseconds; zero with the local route.
    pub actor_cpu_micros: f64,
    /// The share of the machine that others used.
    #[serde(flatten)]
    pub noise: Noise,
}

impl fmt::Display for Measurement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {:.0} requests/s, p50 {:.1} µs, p99 {:.1} µs, CPU {:.2} + {:.2} µs/request, \
             foreign {:.1} %, steal {:.1} %",
            self.case,
            self.requests_per_second,
            self.p50_micros,
            self.p99_micros,
            self.caller_cpu_micros,
            self.actor_cpu_micros,
            self.noise.foreign_share * 100.0,
            self.noise.steal_share * 100.0
        )
    }
}
