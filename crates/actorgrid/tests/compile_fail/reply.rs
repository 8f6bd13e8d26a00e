use actorgrid::{Ack, Message, Request};

#[derive(Clone, PartialEq, prost::Message, Message)]
#[grid(reply = Done)]
struct Job {}

#[derive(Clone, PartialEq, prost::Message, Message)]
struct Done {}

fn wrong_type(request: Request<Job>) {
    let _ = request.respond(Ack {});
}

fn main() {}
