//! Callbacks that run once names are free.

/// Runs the callbacks that were pushed when it is dropped, no matter how the names became free.
pub(super) struct OnFree(Vec<Box<dyn FnOnce() + Send + Sync>>);

impl OnFree {
    /// Creates callbacks of which the first drops `reservation`, which keeps the names from being
    /// claimed again on this peer.
    pub(super) fn dropping(reservation: impl Send + Sync + 'static) -> Self {
        Self(vec![Box::new(move || drop(reservation))])
    }

    /// Adds `on_free`, which runs after the callbacks that were pushed before.
    pub(super) fn push(&mut self, on_free: impl FnOnce() + Send + Sync + 'static) {
        self.0.push(Box::new(on_free));
    }
}

impl Drop for OnFree {
    fn drop(&mut self) {
        for on_free in self.0.drain(..) {
            on_free();
        }
    }
}
