use actorgrid::{Ack, EchoMsg, MessageSet, Payload, Request};

#[derive(MessageSet)]
enum Twice {
    Echo(Request<EchoMsg>),
    Ack(Request<Ack>),
    Again(Request<EchoMsg>),
}

#[derive(MessageSet)]
enum Inner {
    Echo(Request<EchoMsg>),
}

#[derive(MessageSet)]
enum Nested {
    Inner(Inner),
    Echo(Request<EchoMsg>),
}

#[derive(MessageSet)]
enum CatchAlls {
    One(Request<Payload>),
    Other(Request<Payload>),
}

fn main() {}
