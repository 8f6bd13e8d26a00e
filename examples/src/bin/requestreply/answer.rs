//! The answers to callers, and counts of each kind.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::json;

use crate::messages::Done;

/// The answer to a caller.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Answer {
    Done(Done),
    /// No worker is registered.
    NoWorker,
    /// The workers that were asked did nothing; contains the reason of the last one.
    Refused(String),
    /// A worker was asked and gave no answer. It may have done the work, so no other worker is
    /// asked to do it again.
    MayHaveBeenExecuted(String),
    NotFound,
    MethodNotAllowed,
}

impl Answer {
    /// The names of all kinds, as they are counted.
    const KINDS: [&'static str; 6] = [
        "200",
        "503 no worker",
        "503 refused",
        "503 may have been executed",
        "404",
        "405",
    ];

    fn kind(&self) -> usize {
        match self {
            Self::Done(_) => 0,
            Self::NoWorker => 1,
            Self::Refused(_) => 2,
            Self::MayHaveBeenExecuted(_) => 3,
            Self::NotFound => 4,
            Self::MethodNotAllowed => 5,
        }
    }

    pub(crate) fn into_response(self) -> Response<Full<Bytes>> {
        let allowed = (self == Self::MethodNotAllowed).then(|| HeaderValue::from_static("GET"));
        let (status, body) = match self {
            Self::Done(Done {
                user,
                worker,
                token,
            }) => (
                StatusCode::OK,
                json!({"user": user, "worker": worker, "token": token}),
            ),
            Self::NoWorker => (
                StatusCode::SERVICE_UNAVAILABLE,
                json!({"error": "no worker"}),
            ),
            Self::Refused(why) => (
                StatusCode::SERVICE_UNAVAILABLE,
                json!({"error": "refused", "detail": why}),
            ),
            Self::MayHaveBeenExecuted(why) => (
                StatusCode::SERVICE_UNAVAILABLE,
                json!({"error": "may have been executed", "detail": why}),
            ),
            Self::NotFound => (StatusCode::NOT_FOUND, json!({"error": "not found"})),
            Self::MethodNotAllowed => (
                StatusCode::METHOD_NOT_ALLOWED,
                json!({"error": "method not allowed"}),
            ),
        };
        let mut response = Response::new(Full::from(format!("{body}\n")));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(methods) = allowed {
            headers.insert(ALLOW, methods);
        }
        response
    }
}

/// The number of answers of each kind.
#[derive(Debug, Default)]
pub(crate) struct Counts([AtomicU64; Answer::KINDS.len()]);

impl Counts {
    pub(crate) fn add(&self, answer: &Answer) {
        self.0[answer.kind()].fetch_add(1, Ordering::Relaxed);
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (kind, count)) in Answer::KINDS.iter().zip(&self.0).enumerate() {
            let separator = if index > 0 { ", " } else { "" };
            write!(f, "{separator}{kind}: {}", count.load(Ordering::Relaxed))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_answer_is_counted_as_its_kind() {
        let counts = Counts::default();
        counts.add(&Answer::NoWorker);
        counts.add(&Answer::MayHaveBeenExecuted(String::new()));
        counts.add(&Answer::MayHaveBeenExecuted(String::new()));
        assert_eq!(
            counts.to_string(),
            "200: 0, 503 no worker: 1, 503 refused: 0, 503 may have been executed: 2, 404: 0, 405: 0"
        );
    }
}
