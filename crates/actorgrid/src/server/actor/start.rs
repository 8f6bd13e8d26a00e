//! Starts an actor: registers its name first, then runs its constructor.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::oneshot;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::actor_table::{NotReserved, ReservedActor, RunningActor};
use super::actor_type::ActorType;
use super::checked_start::{CheckedStart, already_running, already_running_here};
use super::context::ActorContext;
use super::declared_mailbox::{CapacityFailure, DeclaredMailbox};
use super::run::RegisteredActor;
use super::start_budget::StartPermit;
use crate::environment::Timestamp;
use crate::error::{Executed, RequestError, RequestErrorKind};
use crate::mailbox::{MailboxError, MailboxOwner, Reservation};
use crate::message::ActorStart;
use crate::name::Name;
use crate::registry::{Kind, RegistryErrorKind, holder};
use crate::server::leader::LEADER;
use crate::server::life::Life;
use crate::session::{ClaimError, ClaimPlace};

/// The number of starts of one name that may wait for another start of it to be decided, or for the
/// name to be released. They are all answered together, so more would be pointless; an eighth of
/// the starts under way leaves room for starts of other names.
const MAX_WAITING_STARTS: usize = 32;

/// Starts an actor, and returns once it is running, or once it certainly will not run and its name
/// is free. If the name is not free by `answer_by` or before the life stops, this fails with a
/// specific error.
///
/// The permit is held until the actor is constructed or its name is free again. If the future is
/// dropped, no name stays taken without an actor; a constructor that is running by then continues.
pub(in crate::server) async fn start(
    life: &Arc<Life>,
    start: CheckedStart,
    permit: StartPermit,
    answer_by: Option<Timestamp>,
) -> Result<Arc<RunningActor>, RequestError> {
    let registered = match register(life, start, Arc::new(permit), answer_by).await {
        Ok(registered) => registered,
        Err(error) => {
            life.counters().starts_refused.increment();
            return Err(error);
        }
    };
    let running = registered.running.clone();
    let (started, outcome) = oneshot::channel();
    // Owned by the life, which waits for it. The task catches the panics of user code.
    life.environment().spawn(registered.run(started));
    match outcome.await {
        Ok(Ok(())) => Ok(running),
        Ok(Err(error)) => Err(once_free(life, &running, error, answer_by).await),
        Err(_) => Err(RequestError::no_reply("the start was aborted")),
    }
}

/// Returns the error of a failed start once its name is free, or once it is clear that it will not
/// be free in time.
async fn once_free(
    life: &Life,
    running: &RunningActor,
    error: RequestError,
    answer_by: Option<Timestamp>,
) -> RequestError {
    let released = tokio::select! {
        biased;
        // A fenced session frees its names here before they are gone from the registry.
        () = running.freed.happened() => life.names().fence().admits(),
        () = life.stopping() => false,
        () = until(life, answer_by) => false,
    };
    if released {
        return error;
    }
    let text = format!("{error}; its name is not released yet");
    RequestError::new(RequestErrorKind::NotReleased, error.executed(), text)
}

/// Waits until this time; forever if there is none.
async fn until(life: &Life, time: Option<Timestamp>) {
    match time {
        Some(time) => life.environment().sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// A start whose actor's name is reserved at this peer.
struct BegunStart {
    actor: ReservedActor,
    permit: Arc<StartPermit>,
    /// While this exists, the end of the life waits for the actor.
    tracked: TaskTrackerToken,
}

/// The names of an actor, reserved at this peer, and the values needed to register them.
struct ReservedNames {
    begun: BegunStart,
    owner: MailboxOwner,
    /// The name of the declared mailbox, and its capacity.
    mailbox: Option<(Arc<Reservation>, usize)>,
}

/// Registers the actor's name, and that of its declared mailbox.
async fn register(
    life: &Arc<Life>,
    start: CheckedStart,
    permit: Arc<StartPermit>,
    answer_by: Option<Timestamp>,
) -> Result<RegisteredActor, RequestError> {
    let CheckedStart {
        name,
        type_name,
        actor_type,
        start,
    } = start;
    let reserved = tokio::select! {
        biased;
        () = life.stopping() => return Err(RequestError::mailbox_closed()),
        reserved = reserve_names(life, &name, &actor_type, &start, permit, answer_by) => reserved?,
    };
    if life.is_stopping() {
        return Err(RequestError::mailbox_closed());
    }
    let ReservedNames {
        begun,
        owner,
        mailbox,
    } = reserved;
    let BegunStart {
        actor,
        permit,
        tracked,
    } = begun;
    let running = actor.running.clone();
    let (mailbox, capacity) = mailbox.unzip();

    let mut kinds = vec![(Kind::Actor, &name)];
    if mailbox.is_some() {
        kinds.push((Kind::Mailbox, &name));
    }
    // The names outlive this start if it is dropped, and count as a start for as long as they do:
    // otherwise abandoned starts would fill the queue of claims. The actor's name is dropped last,
    // because others wait for it.
    let reservation = (permit.clone(), mailbox.clone(), actor);
    let give_up = |error| {
        if let (ClaimError::InDoubt(_), Some(mailbox)) = (&error, &mailbox) {
            mailbox.give_up();
        }
        not_won(life, &name, error)
    };
    let claim = tokio::select! {
        biased;
        () = life.stopping() => return Err(RequestError::mailbox_closed()),
        claim = life.names().claim(&kinds, place_of(&name), reservation) => claim,
    };
    let held = claim.map_err(give_up)?;
    let token = life.names().token_at(held.revision());
    // Never set before: only this start holds the reservation.
    let _ = running.token.set(token);
    running.decided.happen();

    let mailbox = mailbox.zip(actor_type.declared.as_ref().zip(capacity));
    let mailbox = mailbox.map(|(reserved, (declared, capacity))| {
        declared.open(&owner, &reserved, name.clone(), token, capacity)
    });
    let ctx = ActorContext::new(
        life.environment().clone(),
        name,
        type_name,
        token,
        owner,
        life.client().clone(),
        mailbox,
    );
    Ok(RegisteredActor {
        life: life.clone(),
        running,
        held,
        actor_type,
        start,
        ctx,
        tracked,
        permit,
    })
}

/// Returns the leases under which an actor's names may go. Leadership ends with the peer's
/// registration, so that no peer leads that others no longer see.
fn place_of(name: &Name) -> ClaimPlace {
    match name.as_str() == LEADER {
        true => ClaimPlace::First,
        false => ClaimPlace::Any,
    }
}

/// Calls the user's function that returns the capacity of the declared mailbox.
///
/// The function may block, so it runs in its own task. The task owns the name, counts as a start
/// and, like the task of an actor, holds up the end of the life, while every other party can stop
/// waiting for it.
async fn call_for_capacity(
    life: &Arc<Life>,
    begun: BegunStart,
    declared: &DeclaredMailbox,
    start: &ActorStart,
) -> Result<(BegunStart, usize), RequestError> {
    let (answer, called) = oneshot::channel();
    let (life_of_task, declared, start) = (life.clone(), declared.clone(), start.clone());
    let call = async move {
        if life_of_task.is_stopping() {
            return;
        }
        let running = &begun.actor.running;
        running.preparing.store(true, Ordering::Release);
        let capacity = capacity(&life_of_task, &running.name, &declared, &start);
        running.preparing.store(false, Ordering::Release);
        // Without a receiver the start is abandoned, and the name is free again.
        let _ = answer.send(capacity.map(|capacity| (begun, capacity)));
    };
    // Owned by the life, which waits for it. The task catches the panics of user code.
    life.environment().spawn(call);
    // Without an answer, the function was not called.
    called
        .await
        .unwrap_or_else(|_| Err(RequestError::mailbox_closed()))
}

/// Returns the capacity of the declared mailbox for an actor that is started with this message.
fn capacity(
    life: &Life,
    name: &Name,
    declared: &DeclaredMailbox,
    start: &ActorStart,
) -> Result<usize, RequestError> {
    declared.capacity(start).map_err(|failure| {
        if let CapacityFailure::Panicked(panic) = &failure {
            life.counters().actor_panics.increment();
            tracing::error!(actor = %name, panic, "the capacity of a mailbox panicked");
        }
        let text = format!("the actor {name} is not started: {failure}");
        RequestError::refused(RequestErrorKind::StartFailed, text)
    })
}

/// Reserves the names of an actor at this peer.
async fn reserve_names(
    life: &Arc<Life>,
    name: &Name,
    actor_type: &ActorType,
    start: &ActorStart,
    permit: Arc<StartPermit>,
    answer_by: Option<Timestamp>,
) -> Result<ReservedNames, RequestError> {
    // From here on, the end of the life waits for this actor.
    let tracked = life.track();
    let mut begun = BegunStart {
        actor: reserve(life, name, answer_by).await?,
        permit,
        tracked,
    };
    let capacity = match &actor_type.declared {
        Some(declared) if declared.calls_user_code() => {
            let capacity;
            (begun, capacity) = call_for_capacity(life, begun, declared, start).await?;
            Some(capacity)
        }
        Some(declared) => Some(capacity(life, name, declared, start)?),
        None => None,
    };
    let owner = MailboxOwner {
        names: life.names().clone(),
        table: life.table().clone(),
        stop: begun.actor.running.stop.clone(),
        requests: None,
    };
    let mailbox = match capacity {
        Some(capacity) => {
            let reserved = owner.reserve(name).await;
            let reserved = reserved.map_err(|error| declared_taken(life, name, &error))?;
            Some((reserved, capacity))
        }
        None => None,
    };
    Ok(ReservedNames {
        begun,
        owner,
        mailbox,
    })
}

/// Reserves the name at this peer. Waits while another start of it is being decided, and while an
/// actor that has ended still releases it.
async fn reserve(
    life: &Life,
    name: &Name,
    answer_by: Option<Timestamp>,
) -> Result<ReservedActor, RequestError> {
    let busy = |text| RequestError::refused(RequestErrorKind::Busy, text);
    loop {
        let other = match life.actors().reserve(name, life.names().fence()) {
            Ok(reserved) => return Ok(reserved),
            Err(NotReserved::Held(other)) => other,
            Err(NotReserved::Full) => {
                let text = "the peer has its maximum number of actors (max_actors)";
                return Err(busy(text.to_owned()));
            }
        };
        if let Some(token) = other.holds() {
            return Err(already_running_here(life, name, token));
        }
        let Some(_place) = WaitingStart::behind(&other) else {
            life.counters().starts_busy.increment();
            let text = format!("too many starts of {name} wait for another one to be decided");
            return Err(busy(text));
        };
        let waits_for = match other.token.get() {
            Some(_) => &other.freed,
            None => &other.decided,
        };
        tokio::select! {
            biased;
            () = waits_for.happened() => {}
            () = until(life, answer_by) => return Err(not_released(name)),
        }
    }
}

/// Returns the error of a start whose name is still held by an actor that has ended.
fn not_released(name: &Name) -> RequestError {
    let text = format!(
        "the name {name} is not released yet by an actor or mailbox that has ended, or not decided"
    );
    RequestError::refused(RequestErrorKind::NotReleased, text)
}

/// A place among the starts that wait for another actor of the same name, until it is dropped.
struct WaitingStart<'a>(&'a RunningActor);

impl<'a> WaitingStart<'a> {
    /// Returns `None` if too many starts wait already.
    fn behind(other: &'a RunningActor) -> Option<Self> {
        let one_more = |waiting: usize| (waiting < MAX_WAITING_STARTS).then_some(waiting + 1);
        // Relaxed: no other memory depends on this counter.
        let taken =
            (other.starts_waiting).fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        taken.is_ok().then(|| Self(other))
    }
}

impl Drop for WaitingStart<'_> {
    fn drop(&mut self) {
        self.0.starts_waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

fn not_won(life: &Life, name: &Name, error: ClaimError) -> RequestError {
    match error {
        ClaimError::Taken(entry) => {
            let token = life.names().token_at(entry.created);
            already_running(life, name, holder(&entry), token)
        }
        ClaimError::Fenced => RequestError::mailbox_closed(),
        ClaimError::Registry(error) | ClaimError::InDoubt(error) => {
            let executed = if error.kind() == RegistryErrorKind::Unknown {
                Executed::Maybe
            } else {
                Executed::No
            };
            RequestError::new(RequestErrorKind::Registry, executed, error.to_string())
                .caused_by(error)
        }
    }
}

fn declared_taken(life: &Life, name: &Name, error: &MailboxError) -> RequestError {
    let Some(token) = error.token() else {
        return not_released(name);
    };
    let text = format!("the actor's mailbox cannot be registered: {error}");
    RequestError::refused(RequestErrorKind::AlreadyRunning, text)
        .held_by(life.names().identity().peer().clone(), Some(token))
}
