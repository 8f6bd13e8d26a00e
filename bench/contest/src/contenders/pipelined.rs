//! The closed loop of connections that one task drives.

use std::sync::{Arc, Mutex, PoisonError};

use bench_kit::{BoxError, Pipeline, Tally, Window, echoed};
use tokio::time::timeout_at;

/// A connection that answers in order.
pub(super) trait Pipelined: Send + 'static {
    /// Sends a request for each that the pipeline asks for, until nothing is unanswered.
    fn drive(
        &mut self,
        pipeline: &mut Pipeline,
        in_flight: usize,
        bytes: usize,
    ) -> impl Future<Output = Result<(), BoxError>> + Send;
}

/// A connection that the first loop takes.
pub(super) struct PipelinedOnce<P>(Arc<Mutex<Option<P>>>);

impl<P> Clone for PipelinedOnce<P> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<P: Pipelined> PipelinedOnce<P> {
    pub(super) fn new(connection: P) -> Self {
        Self(Arc::new(Mutex::new(Some(connection))))
    }

    /// Drives it until the window ends.
    pub(super) async fn closed_loop(
        &self,
        window: Window,
        in_flight: usize,
        bytes: usize,
    ) -> Tally {
        let mut pipeline = Pipeline::new(window, echoed(bytes));
        let connection = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut connection) = connection else {
            return pipeline.end(&"the connection is used already");
        };
        // On a worker, which the socket wakes without another thread between.
        let driven = tokio::spawn(async move {
            let driving = connection.drive(&mut pipeline, in_flight, bytes);
            match timeout_at(window.cut_off().into(), driving).await {
                Ok(Err(error)) => pipeline.end(&error),
                Ok(Ok(())) | Err(_) => pipeline.end(&"unanswered"),
            }
        });
        match driven.await {
            Ok(tally) => tally,
            Err(error) => Tally::all_failed(&error),
        }
    }
}
