use actorgrid::{Payload, Request};

fn twice(request: Request<Payload>, reply: Payload) {
    let _ = request.respond(reply.clone());
    let _ = request.respond(reply);
}

fn through_the_responder(request: Request<Payload>, reply: Payload) {
    let (_, responder) = request.into_parts();
    let _ = responder.respond(reply);
    let _ = responder.fail("no");
}

fn main() {}
