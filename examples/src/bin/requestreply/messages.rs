//! What the front and the workers say to each other.

use actorgrid::Message;

/// Asks a worker to do something.
#[derive(Clone, PartialEq, prost::Message, Message)]
#[grid(name = "requestreply/Work", reply = Done)]
pub(crate) struct Work {
    /// For whom; none for nobody in particular.
    #[prost(string, optional, tag = "1")]
    pub(crate) user: Option<String>,
}

/// It is done.
#[derive(Clone, PartialEq, prost::Message, Message)]
#[grid(name = "requestreply/Done")]
pub(crate) struct Done {
    /// That of the request.
    #[prost(string, optional, tag = "1")]
    pub(crate) user: Option<String>,
    /// Who did it.
    #[prost(string, tag = "2")]
    pub(crate) worker: String,
    /// The revision of the worker's token.
    #[prost(int64, tag = "3")]
    pub(crate) token: i64,
}
