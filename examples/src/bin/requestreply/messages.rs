//! The messages between the front and the workers.

use actorgrid::Message;

/// Asks a worker to do something.
#[derive(Clone, PartialEq, prost::Message, Message)]
#[grid(name = "requestreply/Work", reply = Done)]
pub(crate) struct Work {
    /// The user that the work is for, if any.
    #[prost(string, optional, tag = "1")]
    pub(crate) user: Option<String>,
}

/// Reports that the work is done.
#[derive(Clone, PartialEq, prost::Message, Message)]
#[grid(name = "requestreply/Done")]
pub(crate) struct Done {
    /// The user of the request.
    #[prost(string, optional, tag = "1")]
    pub(crate) user: Option<String>,
    /// The worker that did the work.
    #[prost(string, tag = "2")]
    pub(crate) worker: String,
    /// The revision of the worker's token.
    #[prost(int64, tag = "3")]
    pub(crate) token: i64,
}
