use actorgrid::{IntoName, Message};

struct Job;

fn send<M: Message>(_to: impl IntoName, _message: M) {}

fn not_a_message() {
    send("worker", Job);
}

fn not_a_name() {
    send(7, actorgrid::EchoMsg::new(""));
}

fn main() {}
