//! The code that the derives generate, as far as it can be tested without a mailbox.

#![allow(clippy::unwrap_used)] // clippy exempts test functions, not their helpers

use actorgrid::__private::{Bytes, BytesMut};
use actorgrid::{Ack, EchoMsg, Message, MessageSet, Payload, Request};

#[derive(Clone, PartialEq, prost::Message, Message)]
#[grid(reply = Done, name = "shop/Job", alias = "shop/OldJob")]
#[grid(alias = "shop/OlderJob")]
struct Job {
    #[prost(string, tag = "1")]
    text: String,
    #[prost(uint64, repeated, tag = "2")]
    numbers: Vec<u64>,
}

#[derive(Clone, PartialEq, prost::Message, Message)]
struct Done {}

#[derive(Clone, PartialEq, prost::Message, Message)]
struct r#Loop(#[prost(bool, tag = "1")] bool);

/// Types with names that the derive might use in its own code: the user's types must take
/// precedence.
mod names_of_helpers {
    use actorgrid::Message;

    #[derive(Clone, PartialEq, prost::Message, Message)]
    #[grid(reply = Nothing)]
    pub(crate) struct Protobuf {}

    #[derive(Clone, PartialEq, prost::Message, Message)]
    #[grid(reply = Never)]
    pub(crate) struct Nothing {
        #[prost(uint64, tag = "1")]
        pub(crate) number: u64,
    }

    #[derive(Clone, PartialEq, prost::Message, Message)]
    #[grid(reply = Derived)]
    pub(crate) struct Never {}

    #[derive(Clone, PartialEq, prost::Message, Message)]
    #[grid(reply = Protobuf)]
    pub(crate) struct Derived {}

    #[derive(Clone, PartialEq, prost::Message, Message)]
    #[grid(reply = T)]
    pub(crate) struct By {}

    #[derive(Clone, PartialEq, prost::Message, Message)]
    #[grid(reply = By)]
    pub(crate) struct T {}

    #[derive(actorgrid::MessageSet)]
    pub(crate) enum Set {
        Nothing(actorgrid::Request<Nothing>),
        Protobuf(actorgrid::Request<Protobuf>),
    }
}

/// Uses the crate under another name.
mod renamed {
    mod elsewhere {
        pub(crate) use actorgrid as grid;
    }

    #[derive(Clone, PartialEq, prost::Message, elsewhere::grid::Message)]
    #[grid(crate = elsewhere::grid)]
    pub(crate) struct Renamed {}

    #[derive(elsewhere::grid::MessageSet)]
    #[grid(crate = elsewhere::grid)]
    pub(crate) enum Set {
        Renamed(elsewhere::grid::Request<Renamed>),
    }
}

#[derive(Debug, MessageSet)]
enum Work {
    Job(Request<Job>),
    Echo(Request<EchoMsg>),
}

#[derive(Debug, MessageSet)]
enum Anything {
    Work(Work),
    Done(Request<Done>),
    Other(Request<Payload>),
}

fn round_trip<M: Message>(message: &M) -> M {
    let mut buffer = BytesMut::from(&b"before"[..]);
    message.encode(&mut buffer);
    assert_eq!(buffer.len(), b"before".len() + message.encoded_len());
    M::decode(M::WIRE_NAME, buffer.freeze().slice(b"before".len()..)).unwrap()
}

#[test]
fn a_message_survives_encoding_and_decoding() {
    let job = Job {
        text: "sweep".into(),
        numbers: vec![1, 300],
    };
    assert_eq!(round_trip(&job), job);
    assert_eq!(
        Payload::of(&job).bytes(),
        &b"\x0a\x05sweep\x12\x03\x01\xac\x02"[..]
    );
    assert_eq!(Payload::of(&job).decode(), Ok(job));
    assert_eq!(round_trip(&Done {}), Done {});
    assert_eq!(round_trip(&r#Loop(true)), r#Loop(true));
}

#[test]
fn a_message_may_have_a_name_that_the_derive_might_use() {
    let nothing = names_of_helpers::Nothing { number: 300 };
    assert_eq!(Payload::of(&nothing).bytes(), &b"\x08\xac\x02"[..]);
    assert_eq!(round_trip(&nothing), nothing);
    assert_eq!(names_of_helpers::Nothing::WIRE_NAME, "actorgrid/Nothing");
    assert_eq!(
        names_of_helpers::Set::WIRE_NAMES,
        ["actorgrid/Nothing", "actorgrid/Protobuf"]
    );
}

#[test]
fn broken_bytes_are_an_error() {
    let broken = Bytes::from_static(b"\x0a\x05sw");
    assert!(<Job as Message>::decode("shop/Job", broken).is_err());
}

#[test]
fn the_name_is_the_given_one_or_package_and_type() {
    assert_eq!(Job::WIRE_NAME, "shop/Job");
    assert_eq!(Job::default().wire_name(), "shop/Job");
    assert_eq!(Done::WIRE_NAME, "actorgrid/Done");
    assert_eq!(r#Loop::WIRE_NAME, "actorgrid/Loop");
    assert_eq!(renamed::Renamed::WIRE_NAME, "actorgrid/Renamed");
}

#[test]
fn aliases_of_all_attributes_are_accepted() {
    assert_eq!(Job::ALIASES, ["shop/OldJob", "shop/OlderJob"]);
    assert!(Job::accepts("shop/Job"));
    assert!(Job::accepts("shop/OlderJob"));
    assert!(!Job::accepts("actorgrid/Job"));
    assert!(Done::ALIASES.is_empty());
}

#[test]
fn the_reply_is_the_given_type_or_an_ack() {
    fn is_answered_with<M: Message<Reply = R>, R: Message>() {}
    is_answered_with::<Job, Done>();
    is_answered_with::<Done, Ack>();
    is_answered_with::<renamed::Renamed, Ack>();
    is_answered_with::<names_of_helpers::Protobuf, names_of_helpers::Nothing>();
    is_answered_with::<names_of_helpers::Derived, names_of_helpers::Protobuf>();
    is_answered_with::<names_of_helpers::T, names_of_helpers::By>();
}

#[test]
fn a_set_has_the_names_of_its_variants_in_order() {
    const NAMES: &[&str] = Anything::WIRE_NAMES;
    assert_eq!(Work::WIRE_NAMES, ["shop/Job", EchoMsg::WIRE_NAME]);
    assert_eq!(
        NAMES,
        ["shop/Job", EchoMsg::WIRE_NAME, "actorgrid/Done", ""]
    );
    assert_eq!(renamed::Set::WIRE_NAMES, ["actorgrid/Renamed"]);
}

#[test]
fn a_set_accepts_what_a_variant_accepts() {
    assert!(Work::accepts("shop/Job"));
    assert!(Work::accepts("shop/OlderJob"));
    assert!(Work::accepts(EchoMsg::WIRE_NAME));
    assert!(!Work::accepts("actorgrid/Done"));
    assert!(!Work::accepts(""));
    assert!(Anything::accepts("shop/OldJob"));
    assert!(Anything::accepts("anything/Else"));
    assert!(!renamed::Set::accepts("shop/Job"));
}
