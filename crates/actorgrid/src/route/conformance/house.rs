//! Mailboxes made of closures, as the far end of the routes under test.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::sync::mpsc;

use crate::error::{RequestError, RequestErrorKind};
use crate::message::EchoMsg;
use crate::request::{MessageSet, Request};
use crate::route::directory::{Directory, Inbox, NotDelivered, QueuePlace, Resolved};
use crate::route::incoming::{Incoming, Refused};

pub(in crate::route) type Unread = Arc<Mutex<Vec<Incoming>>>;
type Handler = Box<dyn Fn(Incoming) -> Result<(), Refused> + Send + Sync>;

/// As if all requests had the same place.
const PLACE: QueuePlace = QueuePlace {
    index: 0,
    generation: 0,
};

struct Handled {
    handler: Handler,
    is_full: bool,
    /// Requests that nobody handles.
    queued: Unread,
}

impl Inbox for Handled {
    fn deliver(&self, incoming: Incoming) -> Result<QueuePlace, NotDelivered> {
        (self.handler)(incoming)?;
        Ok(PLACE)
    }

    fn withdraw(&self, _place: QueuePlace) -> bool {
        let queued = self.queued.lock().unwrap().pop();
        queued.map(|mut incoming| incoming.forget()).is_some()
    }

    fn is_full(&self) -> bool {
        self.is_full
    }
}

/// Requests to a name that is being decided; `None` once it is decided.
pub(super) struct Deciding(pub(super) Mutex<Option<Vec<Incoming>>>);

impl Inbox for Deciding {
    fn deliver(&self, incoming: Incoming) -> Result<QueuePlace, NotDelivered> {
        match &mut *self.0.lock().unwrap() {
            Some(waiting) => waiting.push(incoming),
            None => return Err(NotDelivered::Moved(Box::new(incoming))),
        }
        Ok(PLACE)
    }

    fn withdraw(&self, _place: QueuePlace) -> bool {
        let waiting = self.0.lock().unwrap().as_mut().and_then(Vec::pop);
        waiting.map(|mut incoming| incoming.forget()).is_some()
    }

    fn is_full(&self) -> bool {
        false
    }
}

/// Mailboxes made of closures.
#[derive(Default)]
pub(in crate::route) struct House {
    open: Mutex<HashMap<String, Arc<Handled>>>,
    pub(super) deciding: Mutex<HashMap<String, Arc<Deciding>>>,
    failed: Mutex<Vec<RequestErrorKind>>,
}

impl House {
    pub(in crate::route) fn open(
        &self,
        name: &str,
        handler: impl Fn(Incoming) -> Result<(), Refused> + Send + Sync + 'static,
    ) {
        self.insert(name, Box::new(handler), false, Arc::default());
    }

    pub(in crate::route) fn close(&self, name: &str) {
        self.open.lock().unwrap().remove(name);
    }

    /// Adds a mailbox without room.
    pub(in crate::route) fn full(&self, name: &str) {
        let handler = |incoming: Incoming| Err(incoming.refuse(RequestError::busy()));
        self.insert(name, Box::new(handler), true, Arc::default());
    }

    fn insert(&self, name: &str, handler: Handler, is_full: bool, queued: Unread) {
        let handled = Arc::new(Handled {
            handler,
            is_full,
            queued,
        });
        self.open.lock().unwrap().insert(name.to_owned(), handled);
    }

    /// Adds a mailbox that passes its requests to the test.
    pub(in crate::route) fn queue(&self, name: &str) -> mpsc::UnboundedReceiver<Request<EchoMsg>> {
        let (sender, queue) = mpsc::unbounded_channel();
        self.open(name, move |incoming| {
            if let Some(mut request) = Request::<EchoMsg>::receive(incoming) {
                request.pending().hand_out();
                let _ = sender.send(request);
            }
            Ok(())
        });
        queue
    }

    /// Adds a mailbox that nobody reads. Returns its queue.
    pub(in crate::route) fn unread(&self, name: &str) -> Unread {
        let queued = Unread::default();
        let queue = queued.clone();
        let handler = move |incoming| {
            queue.lock().unwrap().push(incoming);
            Ok(())
        };
        self.insert(name, Box::new(handler), false, queued.clone());
        queued
    }

    pub(in crate::route) fn echo(&self, name: &str) {
        self.open(name, |incoming| {
            if let Some(request) = Request::<EchoMsg>::receive(incoming) {
                let echo = request.message().clone();
                let _ = request.respond(echo);
            }
            Ok(())
        });
    }
}

impl House {
    /// The errors that were counted, in their order.
    pub(in crate::route) fn failed(&self) -> Vec<RequestErrorKind> {
        self.failed.lock().unwrap().clone()
    }
}

impl Directory for House {
    fn failed(&self, kind: RequestErrorKind) {
        self.failed.lock().unwrap().push(kind);
    }

    fn resolve(&self, name: &str) -> Resolved {
        if let Some(deciding) = self.deciding.lock().unwrap().get(name) {
            return Resolved::Inbox(Arc::clone(deciding) as Arc<dyn Inbox>);
        }
        match self.open.lock().unwrap().get(name) {
            Some(inbox) => Resolved::Inbox(Arc::clone(inbox) as Arc<dyn Inbox>),
            None => Resolved::Absent,
        }
    }
}
