//! Calls what waits for names to be free.

/// Calls what was pushed when it is dropped: no matter how the names became free.
pub(super) struct OnFree(Vec<Box<dyn FnOnce() + Send + Sync>>);

impl OnFree {
    /// Drops `reservation`, which keeps the names from being claimed again at this peer.
    pub(super) fn dropping(reservation: impl Send + Sync + 'static) -> Self {
        Self(vec![Box::new(move || drop(reservation))])
    }

    /// Calls `on_free` as well, after all that was pushed before.
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
