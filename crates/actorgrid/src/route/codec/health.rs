//! The names and limits of the standard gRPC health service.

pub(crate) const CHECK_PATH: &str = "/grpc.health.v1.Health/Check";
pub(crate) const WATCH_PATH: &str = "/grpc.health.v1.Health/Watch";

/// The size limit of the service's messages in both directions: a request holds the name of a
/// service, and an answer a number.
pub(crate) const MAX_HEALTH_BYTES: usize = 4 * 1024;
