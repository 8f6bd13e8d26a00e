//! The alarms of an accepted link: orders, timers, and tickets, which seldom go off.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::arriving_messages::Ticket;
use crate::environment::Environment;
use crate::route::budget::BudgetFull;
use crate::route::link::GoAwayReason;
use crate::route::link::seldom::{Alarm, Seldom, alarm};
use crate::route::serving::{EndOrders, LOOK_INTERVAL};

/// How often deadlines are looked at while requests are unanswered: a timer for each costs more.
const SWEEP_INTERVAL: Duration = Duration::from_millis(10);
/// The time for the client of an evicted link to learn which of its requests were not read.
const EVICTION_TIME: Duration = Duration::from_millis(500);

/// An alarm that has gone off.
pub(super) enum LinkAlarm {
    /// No further requests are taken, for this reason.
    Close(GoAwayReason),
    /// The time of an evicted link is over.
    CutOff,
    Look,
    Sweep,
    /// A client that was held up may send on.
    Resume,
    Ticket(Result<Ticket, BudgetFull>),
}

type TicketAlarm = Pin<Box<dyn Future<Output = Result<Ticket, BudgetFull>> + Send>>;

/// The alarms of a link. Each is set until it goes off.
pub(super) struct LinkAlarms {
    environment: Environment,
    seldom: Seldom,
    replaced: Option<Alarm>,
    graceful: Option<Alarm>,
    evicted: Option<Alarm>,
    cut_off: Option<Alarm>,
    look: Option<Alarm>,
    sweep: Option<Alarm>,
    /// Runs while the client is held up.
    pause: Option<Alarm>,
    /// The ticket that the first of the large messages waits for, with its number.
    ticket: Option<(u64, TicketAlarm)>,
}

impl LinkAlarms {
    /// Sets the alarms of orders, and the first look.
    pub(super) fn new(
        environment: Environment,
        end: &EndOrders,
        replaced: &CancellationToken,
    ) -> Self {
        let ordered = |order: &CancellationToken| -> Option<Alarm> {
            Some(Box::pin(order.clone().cancelled_owned()))
        };
        let cut_off = {
            let (environment, evicted) = (environment.clone(), end.evicted.clone());
            async move {
                evicted.cancelled().await;
                environment.sleep(EVICTION_TIME).await;
            }
        };
        let mut alarms = Self {
            environment,
            seldom: Seldom::new(),
            replaced: ordered(replaced),
            graceful: ordered(&end.graceful),
            evicted: ordered(&end.evicted),
            cut_off: Some(Box::pin(cut_off)),
            look: None,
            sweep: None,
            pause: None,
            ticket: None,
        };
        alarms.set_look();
        alarms
    }

    /// Sets the next look.
    pub(super) fn set_look(&mut self) {
        self.look = self.after(LOOK_INTERVAL);
    }

    /// Sets the next sweep.
    pub(super) fn set_sweep(&mut self) {
        self.sweep = self.after(SWEEP_INTERVAL);
    }

    pub(super) const fn is_sweep_set(&self) -> bool {
        self.sweep.is_some()
    }

    /// Holds up the client for this time.
    pub(super) fn hold_up(&mut self, time: Duration) {
        self.pause = self.after(time);
    }

    pub(super) const fn is_held_up(&self) -> bool {
        self.pause.is_some()
    }

    /// Returns the number of the message whose ticket is waited for.
    pub(super) fn applicant(&self) -> Option<u64> {
        self.ticket.as_ref().map(|(applicant, _)| *applicant)
    }

    /// Waits for the ticket of this message.
    pub(super) fn await_ticket(
        &mut self,
        applicant: u64,
        ticket: impl Future<Output = Result<Ticket, BudgetFull>> + Send + 'static,
    ) {
        self.ticket = Some((applicant, Box::pin(ticket)));
        self.seldom.note_new();
    }

    /// Waits for no ticket.
    pub(super) fn forget_ticket(&mut self) {
        self.ticket = None;
    }

    fn after(&self, time: Duration) -> Option<Alarm> {
        self.seldom.note_new();
        Some(alarm(&self.environment, time))
    }

    /// Ready with the first alarm that has gone off, orders before others. Cancel safe.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<LinkAlarm> {
        let Self {
            seldom,
            replaced,
            graceful,
            evicted,
            cut_off,
            look,
            sweep,
            pause,
            ticket,
            ..
        } = self;
        seldom.poll(cx, |cx| {
            let alarms = [
                (replaced, LinkAlarm::Close(GoAwayReason::Replaced)),
                (graceful, LinkAlarm::Close(GoAwayReason::Shutdown)),
                (evicted, LinkAlarm::Close(GoAwayReason::Crowded)),
                (cut_off, LinkAlarm::CutOff),
                (look, LinkAlarm::Look),
                (sweep, LinkAlarm::Sweep),
                (pause, LinkAlarm::Resume),
            ];
            for (set, meaning) in alarms {
                if goes_off(set, cx) {
                    return Poll::Ready(meaning);
                }
            }
            let Some((_, waiting)) = ticket else {
                return Poll::Pending;
            };
            let granted = waiting.as_mut().poll(cx);
            if granted.is_ready() {
                *ticket = None;
            }
            granted.map(LinkAlarm::Ticket)
        })
    }
}

/// Whether an alarm goes off now. If so, it is not set any more.
fn goes_off(set: &mut Option<Alarm>, cx: &mut Context<'_>) -> bool {
    let goes_off = set
        .as_mut()
        .is_some_and(|alarm| alarm.as_mut().poll(cx).is_ready());
    if goes_off {
        *set = None;
    }
    goes_off
}
