//! The cache of mailboxes' locations and tokens, and lookups that concurrent callers share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use foldhash::fast::RandomState;
use futures_core::future::BoxFuture;
use futures_util::FutureExt as _;
use futures_util::future::{Shared, WeakShared};
use quick_cache::UnitWeighter;
use quick_cache::sync::{Cache, DefaultLifecycle};

use crate::address::Address;
use crate::error::RequestError;
use crate::name::Name;
use crate::registry::Capabilities;
use crate::route::calling::Pool;
use crate::route::{LinkHandle, ReferenceGuess, WeakLinkHandle};
use crate::token::Token;

/// The maximum number of remembered locations. One takes some 200 bytes with names of a usual
/// length, so 20 MB in total (ten times as much with the longest names). A client that talks to
/// more mailboxes looks the least used ones up again.
const CAPACITY: usize = 100_000;

/// The location of a mailbox.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Location {
    pub(super) peer: Name,
    pub(super) address: Address,
    pub(super) token: Token,
    pub(super) capabilities: Capabilities,
}

/// A location that is remembered, with the way there.
#[derive(Debug)]
pub(super) struct KnownLocation {
    name: Name,
    location: Location,
    /// Set by the first request that found the link open.
    link: OnceLock<WeakLinkHandle>,
    /// Where that link has its name.
    guess: ReferenceGuess,
    /// Whether it proved wrong, or something newer is known.
    is_left: AtomicBool,
}

impl KnownLocation {
    fn new(name: Name, location: Location) -> Self {
        Self {
            name,
            location,
            link: OnceLock::new(),
            guess: ReferenceGuess::default(),
            is_left: AtomicBool::new(false),
        }
    }

    pub(super) const fn name(&self) -> &Name {
        &self.name
    }

    pub(super) const fn guess(&self) -> &ReferenceGuess {
        &self.guess
    }

    /// Whether it proved wrong, or something newer is known, since it was found.
    pub(super) fn is_left(&self) -> bool {
        self.is_left.load(Ordering::Relaxed)
    }

    fn leave(&self) {
        self.is_left.store(true, Ordering::Relaxed);
    }

    pub(super) const fn location(&self) -> &Location {
        &self.location
    }

    /// Returns the link there, which may have ended meanwhile, if there is one.
    fn link(&self, pool: &Pool) -> RememberedLink {
        if let Some(link) = self.link.get() {
            return link
                .upgrade()
                .map_or(RememberedLink::Gone, RememberedLink::Is);
        }
        let location = &self.location;
        if !pool.may_link(location.capabilities) {
            return RememberedLink::None;
        }
        let route = pool.route(&location.address, location.capabilities);
        let Some(link) = route.open_link() else {
            return RememberedLink::None;
        };
        // If another request was faster, both have the same link, or one that ends.
        let _ = self.link.set(link.downgrade());
        RememberedLink::Is(link)
    }
}

/// The link to a location.
enum RememberedLink {
    Is(LinkHandle),
    /// The link that is remembered is gone.
    Gone,
    None,
}

/// How old the result of a lookup may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Freshness {
    /// The result may be that of a moment before the lookup.
    MayLag,
    Linearizable,
}

/// The result of a lookup; `None` if nobody holds the name.
pub(super) type LookupResult = Result<Option<Location>, RequestError>;
type Lookup = BoxFuture<'static, LookupResult>;

/// The remembered locations, and the lookups under way.
pub(super) struct Locations {
    store: Arc<LocationStore>,
}

/// The state that is shared with the lookups under way.
struct LocationStore {
    cache: Cache<Name, Arc<KnownLocation>, UnitWeighter, RandomState>,
    /// Lookups under way, as long as somebody waits for them.
    under_way: Mutex<LookupsUnderWay>,
}

/// For one name, lookups that may lag are separate from lookups that may not: a caller that knows
/// that a location was wrong must not get it again.
type LookupsUnderWay = HashMap<(Name, Freshness), WeakShared<Lookup>>;

impl Default for Locations {
    fn default() -> Self {
        let store = LocationStore {
            cache: Cache::with(
                CAPACITY,
                CAPACITY as u64,
                UnitWeighter,
                RandomState::default(),
                DefaultLifecycle::default(),
            ),
            under_way: Mutex::default(),
        };
        Self {
            store: Arc::new(store),
        }
    }
}

impl Locations {
    /// Returns the remembered location.
    pub(super) fn get(&self, name: &Name) -> Option<Location> {
        self.known(name.as_str())
            .map(|known| known.location.clone())
    }

    /// The same, with the way there, and without a copy. Only valid names are remembered.
    pub(super) fn known(&self, name: &str) -> Option<Arc<KnownLocation>> {
        self.store.cache.get(name)
    }

    /// Returns the link to a location, which may have ended meanwhile, if there is one.
    pub(super) fn link(&self, known: &Arc<KnownLocation>, pool: &Pool) -> Option<LinkHandle> {
        match known.link(pool) {
            RememberedLink::Is(link) => Some(link),
            RememberedLink::Gone => {
                self.forget_link(known);
                None
            }
            RememberedLink::None => None,
        }
    }

    /// Forgets the link of a location: it has ended.
    pub(super) fn forget_link(&self, ended: &Arc<KnownLocation>) {
        let cache = &self.store.cache;
        let name = &ended.name;
        if cache
            .get(name)
            .is_some_and(|known| Arc::ptr_eq(&known, ended))
        {
            let known = KnownLocation::new(name.clone(), ended.location.clone());
            cache.insert(name.clone(), Arc::new(known));
            ended.leave();
        }
    }

    /// Forgets a location that proved wrong, unless a newer one is known. Returns whether it was
    /// still known.
    pub(super) fn forget(&self, name: &Name, token: Token) -> bool {
        let cache = &self.store.cache;
        let forgotten = cache.remove_if(name, |known| known.location.token == token);
        if let Some((_, known)) = &forgotten {
            known.leave();
        }
        forgotten.is_some()
    }

    /// Looks a name up. Callers for the same name share one lookup, and none waits for the lookup
    /// of another name. Cancel safe: the lookup continues as long as one of them waits.
    ///
    /// A lookup that was already under way may have read the registry before this call, so that it
    /// found nobody does not mean that nobody holds the name now. In that case the name is looked
    /// up once more.
    pub(super) async fn look_up<F>(
        &self,
        name: &Name,
        freshness: Freshness,
        lookup: impl Fn() -> F,
    ) -> LookupResult
    where
        F: Future<Output = LookupResult> + Send + 'static,
    {
        let key = (name.clone(), freshness);
        let (shared, joined) = self.shared(&key, &lookup);
        match shared.await {
            // Whichever lookup this is, it began after the joined one had ended.
            Ok(None) if joined => self.shared(&key, &lookup).0.await,
            found => found,
        }
    }

    /// Returns the lookup of a name, and whether it was already under way.
    fn shared<F>(&self, key: &(Name, Freshness), lookup: impl Fn() -> F) -> (Shared<Lookup>, bool)
    where
        F: Future<Output = LookupResult> + Send + 'static,
    {
        let mut under_way = self.store.lock();
        if let Some(shared) = under_way.get(key).and_then(WeakShared::upgrade) {
            return (shared, true);
        }
        let entry = LookupUnderWay {
            store: self.store.clone(),
            key: key.clone(),
        };
        let lookup = lookup();
        let shared = async move {
            let found = lookup.await;
            if let Ok(Some(location)) = &found {
                entry.store.remember(&entry.key.0, location);
            }
            drop(entry);
            found
        }
        .boxed()
        .shared();
        if let Some(weak) = shared.downgrade() {
            under_way.insert(key.clone(), weak);
        }
        (shared, false)
    }
}

impl LocationStore {
    /// Remembers a location, unless a newer one is known.
    fn remember(&self, name: &Name, location: &Location) {
        let before = self.cache.get(name);
        let is_newer = |known: &Arc<KnownLocation>| known.location.token > location.token;
        if !before.as_ref().is_some_and(is_newer) {
            let known = KnownLocation::new(name.clone(), location.clone());
            self.cache.insert(name.clone(), Arc::new(known));
            if let Some(before) = before {
                before.leave();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, LookupsUnderWay> {
        self.under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes a lookup from the ones under way when it has ended or nobody waits for it any more.
struct LookupUnderWay {
    store: Arc<LocationStore>,
    key: (Name, Freshness),
}

impl Drop for LookupUnderWay {
    fn drop(&mut self) {
        // If another lookup of the name has begun meanwhile, it only ceases to be shared.
        self.store.lock().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::poll;
    use std::sync::atomic::AtomicUsize;
    use tokio::sync::Notify;

    fn location() -> Location {
        Location {
            peer: Name::new("127-0-0-1-1").unwrap(),
            address: "127.0.0.1:1".parse().unwrap(),
            token: "1:1".parse().unwrap(),
            capabilities: Capabilities::ACTORGRID,
        }
    }

    #[tokio::test]
    async fn a_lookup_that_lags_replaces_no_newer_location() {
        let locations = Locations::default();
        let name = Name::new("w").unwrap();
        let found = |revision: &str| {
            let token = revision.parse().unwrap();
            let location = Location {
                token,
                ..location()
            };
            move || std::future::ready(Ok(Some(location.clone())))
        };
        for (token, remembered) in [
            ("1:5", "1:5"),
            ("1:4", "1:5"),
            ("1:6", "1:6"),
            ("2:1", "2:1"),
        ] {
            let looked_up = locations.look_up(&name, Freshness::MayLag, found(token));
            let location = looked_up.await.unwrap().unwrap();
            assert_eq!(location.token, token.parse().unwrap());
            let known = locations.get(&name).unwrap();
            assert_eq!(known.token, remembered.parse().unwrap());
        }
    }

    #[tokio::test]
    async fn a_caller_that_joins_a_lookup_finds_a_name_registered_before() {
        let locations = Locations::default();
        let name = Name::new("w").unwrap();
        let reply = Arc::new(Notify::new());
        // This lookup has read the registry, and its reply is on its way.
        let slow = reply.clone();
        let mut early = Box::pin(locations.look_up(&name, Freshness::MayLag, move || {
            let slow = slow.clone();
            async move {
                slow.notified().await;
                Ok(None)
            }
        }));
        assert!(poll!(&mut early).is_pending());
        // Now the name is registered; every lookup from now on finds it.
        let lookups = Arc::new(AtomicUsize::new(0));
        let count = lookups.clone();
        let mut late = Box::pin(locations.look_up(&name, Freshness::MayLag, move || {
            count.fetch_add(1, Ordering::SeqCst);
            async { Ok(Some(location())) }
        }));
        assert!(poll!(&mut late).is_pending());
        reply.notify_one();
        assert_eq!(early.await.ok(), Some(None));
        assert_eq!(late.await.ok(), Some(Some(location())));
        assert_eq!(lookups.load(Ordering::SeqCst), 1);
    }
}
