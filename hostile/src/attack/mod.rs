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
mod mutations;
mod on_connections;
mod rapid_reset;
mod stalled_streams;
mod starts;
mod tokens;
mod unread_mailbox;
mod unread_replies;

pub use attack::{Attack, HonestStarts};
pub use catalogue::{all_attacks, attack_named};
