//! The serving side of links: one task for each, which reads requests and writes answers.

mod arriving_messages;
mod flood_pace;
mod large_ticket;
mod link_clients;
mod link_service;
mod request_intake;
mod request_log;
mod returned_credit;
mod serve_link;
mod served_link;

pub(in crate::route) use link_service::LinkService;
pub(in crate::route::link) use link_service::TYPES;
pub(in crate::route) use serve_link::serve_link;
