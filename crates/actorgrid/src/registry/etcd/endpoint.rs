//! One endpoint of a cluster, with its connection and the attempts to open it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::Uri;
use tokio::sync::watch;

use super::attempts::{AttemptPace, Attempts};
use super::connection::EtcdConnection;
use super::dialer::{Dialer, unreachable};
use crate::address::Address;
use crate::registry::RegistryError;
use crate::token::ClusterId;

/// The longest pause before the next attempt that a caller waits for; during a longer pause, it
/// gets the failure of the last attempt. Half of the shortest time limit of callers would be too
/// long.
const MAX_PAUSE_WAIT: Duration = Duration::from_millis(250);

/// The outcome of an attempt to connect.
type Dialed = Result<(Arc<EtcdConnection>, ClusterId), RegistryError>;
/// `None` until an attempt to connect has ended; closed without an outcome if its task was aborted.
type Opening = watch::Receiver<Option<Dialed>>;

/// One endpoint, and its connection.
pub(super) struct Endpoint {
    address: Address,
    origin: Uri,
    attempts: Arc<Attempts>,
    /// The last attempt to connect. A task makes it, so that it outlives its callers.
    opening: Mutex<Option<Opening>>,
}

/// The state of the connection.
enum Present {
    Usable(Arc<EtcdConnection>, ClusterId),
    Opening(Opening),
    /// The next attempt may begin after this time.
    Pausing(Duration, RegistryError),
}

impl Endpoint {
    /// Creates an endpoint, which shares the pace of attempts with all endpoints of its cluster.
    pub(super) fn new(address: Address, origin: Uri, pace: &Arc<AttemptPace>) -> Self {
        Self {
            address,
            origin,
            attempts: Arc::new(Attempts::new(Arc::clone(pace))),
            opening: Mutex::default(),
        }
    }

    /// Returns the same endpoint with a separate connection. Attempts to connect count for both.
    pub(super) fn dedicated(&self) -> Self {
        Self {
            address: self.address.clone(),
            origin: self.origin.clone(),
            attempts: Arc::clone(&self.attempts),
            opening: Mutex::default(),
        }
    }

    /// Returns the same endpoint, without what is known about it.
    pub(super) fn anew(&self) -> Self {
        Self {
            address: self.address.clone(),
            origin: self.origin.clone(),
            attempts: Arc::new(self.attempts.anew()),
            opening: Mutex::default(),
        }
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// Whether an exchange with this endpoint is likely to be answered.
    pub(super) fn is_promising(&self, dialer: &Dialer) -> bool {
        let opening = self.lock();
        match opening
            .as_ref()
            .and_then(|opening| opening.borrow().clone())
        {
            Some(Ok((connection, _))) if connection.is_usable() => !connection.is_silent(),
            _ => !self.attempts.is_pausing(dialer.environment.now()),
        }
    }

    /// Returns the current connection, or opens a new one.
    ///
    /// If the future is dropped, the attempt continues in its task.
    pub(super) async fn connection(&self, dialer: &Arc<Dialer>) -> Dialed {
        loop {
            let mut opening = match self.present(dialer) {
                Present::Usable(connection, cluster) => return Ok((connection, cluster)),
                Present::Opening(opening) => opening,
                Present::Pausing(pause, failure) if pause > MAX_PAUSE_WAIT => return Err(failure),
                Present::Pausing(pause, _) => {
                    dialer.environment.sleep(pause).await;
                    continue;
                }
            };
            if let Ok(opened) = opening.wait_for(Option::is_some).await
                && let Some(Err(failure)) = &*opened
            {
                return Err(failure.clone());
            }
        }
    }

    /// Returns the current connection, or the current attempt, which is begun if permitted.
    fn present(&self, dialer: &Arc<Dialer>) -> Present {
        let mut place = self.lock();
        if let Some(opening) = &*place {
            let broke_off = match &*opening.borrow() {
                Some(Ok((connection, cluster))) if connection.is_usable() => {
                    return Present::Usable(Arc::clone(connection), *cluster);
                }
                Some(Ok((connection, _))) => !connection.is_proven(),
                Some(Err(_)) => false,
                None if opening.has_changed().is_ok() => return Present::Opening(opening.clone()),
                None => true,
            };
            if broke_off {
                let text = "the connection ended before it was used".into();
                let failure = unreachable(&self.address, text);
                self.attempts.failed(&dialer.environment, failure);
            }
            *place = None;
        }
        if let Some((pause, failure)) = self.attempts.pause(dialer.environment.now()) {
            return Present::Pausing(pause, failure);
        }
        self.attempts.begin(dialer.environment.now());
        let opening = self.open(dialer);
        *place = Some(opening.clone());
        Present::Opening(opening)
    }

    fn open(&self, dialer: &Arc<Dialer>) -> Opening {
        let (outcome, opening) = watch::channel(None);
        let (address, origin) = (self.address.clone(), self.origin.clone());
        let (attempts, opener) = (Arc::clone(&self.attempts), Arc::clone(dialer));
        dialer.tasks.spawn(async move {
            let opened = opener.open(&address, &origin).await;
            if let Err(failure) = &opened {
                attempts.failed(&opener.environment, failure.clone());
            }
            let opened = opened.map(|(connection, cluster)| (Arc::new(connection), cluster));
            outcome.send_replace(Some(opened));
        });
        opening
    }

    /// Records that an exchange was answered over a connection.
    pub(super) fn answered(&self, connection: &EtcdConnection) {
        if connection.prove() {
            self.attempts.succeeded();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Opening>> {
        self.opening.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
