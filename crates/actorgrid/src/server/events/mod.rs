//! The events of a server: the bounded log that holds them, and the streams that read it.

mod actor_end;
mod event_log;
mod server_event;
mod server_events;

pub use actor_end::ActorEnd;
pub(super) use event_log::EventSource;
pub use server_event::ServerEvent;
pub use server_events::ServerEvents;
