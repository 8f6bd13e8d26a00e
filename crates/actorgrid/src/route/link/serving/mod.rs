//! The serving side of links: one task for each, which reads requests and writes answers.

mod arriving_messages;
mod cancel_allowance;
mod encoded_reply;
mod flood_pace;
mod intake_sweep;
mod large_ticket;
mod linger;
mod link_alarms;
mod link_clients;
mod link_greeting;
mod link_service;
mod link_turn;
mod part_of_frame;
mod request_intake;
mod request_log;
mod request_room;
mod returned_credit;
mod serve_link;
mod served_link;
mod served_state;
mod waiting_replies;

pub(in crate::route) use link_service::LinkService;
pub(in crate::route::link) use link_service::TYPES;
pub(in crate::route) use serve_link::serve_link;
