//! The attacks. Each is a client that does one hostile thing, or an unusual but legal one, as often
//! as it can.

mod attack;
mod catalogue;
mod churn;
mod control_floods;
mod dribble;
mod garbage;
mod handshakes;
mod header_floods;
mod idle;
mod interleaved;
mod link_chunks;
mod link_floods;
mod link_garbage;
mod link_idle;
mod link_names;
mod link_openings;
mod link_over_credit;
mod link_unread;
mod mutations;
mod on_connections;
mod on_links;
mod rapid_reset;
mod stalled_streams;
mod starts;
mod tokens;
mod unread_mailbox;
mod unread_replies;

pub use attack::{Attack, HonestStarts};
pub use catalogue::{all_attacks, attack_named};
