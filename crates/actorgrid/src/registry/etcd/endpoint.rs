//! One endpoint of a cluster, and its connection.

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

/// A caller waits for an attempt that may be made so soon; before that, it gets the failure of the
/// last one. Half of the shortest time that callers give would be too long.
const PATIENCE: Duration = Duration::from_millis(250);

/// How an attempt to connect has ended.
type Dialed = Result<(Arc<EtcdConnection>, ClusterId), RegistryError>;
/// Empty until an attempt to connect has ended; closed without an outcome if its task was ended.
type Opening = watch::Receiver<Option<Dialed>>;

/// One endpoint, and its connection.
pub(super) struct Endpoint {
    address: Address,
    origin: Uri,
    attempts: Arc<Attempts>,
    /// The last attempt to connect, which a task makes, so that it outlives its callers.
    opening: Mutex<Option<Opening>>,
}

/// The state of the connection.
enum Present {
    Usable(Arc<EtcdConnection>, ClusterId),
    Opening(Opening),
    /// The next attempt may be made after this time.
    Pausing(Duration, RegistryError),
}

impl Endpoint {
    /// An endpoint, at the pace of all endpoints of its cluster.
    pub(super) fn new(address: Address, origin: Uri, pace: &Arc<AttemptPace>) -> Self {
        Self {
            address,
            origin,
            attempts: Arc::new(Attempts::new(Arc::clone(pace))),
            opening: Mutex::default(),
        }
    }

    /// The same endpoint, to be reached over another connection. Attempts to connect count for
    /// both.
    pub(super) fn dedicated(&self) -> Self {
        Self {
            address: self.address.clone(),
            origin: self.origin.clone(),
            attempts: Arc::clone(&self.attempts),
            opening: Mutex::default(),
        }
    }

    /// The same endpoint, of which nothing is known.
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

    /// Whether an exchange that goes there is likely to be answered.
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

    /// The connection: the present one, or a new one.
    ///
    /// Dropped, it leaves the attempt to its task.
    pub(super) async fn connection(&self, dialer: &Arc<Dialer>) -> Dialed {
        loop {
            let mut opening = match self.present(dialer) {
                Present::Usable(connection, cluster) => return Ok((connection, cluster)),
                Present::Opening(opening) => opening,
                Present::Pausing(pause, failure) if pause > PATIENCE => return Err(failure),
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

    /// The present connection, or an attempt, which is begun if it may be.
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
                let text = "it ended before it was of use".into();
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

    /// An exchange was answered over a connection.
    pub(super) fn answered(&self, connection: &EtcdConnection) {
        if connection.prove() {
            self.attempts.succeeded();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Opening>> {
        self.opening.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
