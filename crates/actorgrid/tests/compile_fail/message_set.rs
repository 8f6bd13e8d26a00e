use actorgrid::{EchoMsg, MessageSet, Payload, Request};

#[derive(MessageSet)]
enum Empty {}

#[derive(MessageSet)]
struct Struct(Request<EchoMsg>);

#[derive(MessageSet)]
enum Unit {
    Echo(Request<EchoMsg>),
    Nothing,
}

#[derive(MessageSet)]
enum Named {
    Echo { request: Request<EchoMsg> },
}

#[derive(MessageSet)]
enum Two {
    Echo(Request<EchoMsg>, Request<Payload>),
}

#[derive(MessageSet)]
enum Generic<T> {
    One(T),
}

#[derive(MessageSet)]
#[grid(name = "shop/Work")]
enum WithName {
    Echo(Request<EchoMsg>),
}

#[derive(MessageSet)]
enum OnVariant {
    #[grid(alias = "shop/Echo")]
    Echo(Request<EchoMsg>),
}

fn main() {}
