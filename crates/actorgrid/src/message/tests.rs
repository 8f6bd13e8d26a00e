//! The encodings of the messages, and the conversions of a body.

use bytes::Bytes;

use super::any_message::AnyMessage;
use super::*;
use crate::token::Token;

fn hex(text: &str) -> Bytes {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect::<Vec<u8>>()
        .into()
}

#[test]
fn reads_and_writes_the_golden_bytes_of_a_start() {
    let golden = hex("0a046563686f1208776f726b65722d311a023530");
    let start = ActorStart::new("worker-1", "echo").data(&b"50"[..]);
    assert_eq!(AnyMessage::encode(&start), golden);
    assert_eq!(AnyMessage::encoded_len(&start), golden.len());
    assert_eq!(ActorStart::decode_bytes(golden), start);
}

impl ActorStart {
    fn decode_bytes(bytes: Bytes) -> Self {
        <Self as Message>::decode(Self::WIRE_NAME, bytes).unwrap()
    }
}

#[test]
fn the_vendored_names_of_the_go_library_are_accepted() {
    assert!(Ack::accepts("github.com/lytics/grid/v3/Ack"));
    assert!(Ack::accepts(
        "github.com/lytics/lio/vendor/github.com/lytics/grid/v3/Ack"
    ));
    assert!(!Ack::accepts("github.com/lytics/grid/v3/EchoMsg"));
    assert!(!Ack::accepts(""));
}

#[test]
fn a_body_moves_a_value_and_reads_bytes() {
    let echo = EchoMsg::new("hi");
    let moved = Body::value(echo.clone()).into_message::<EchoMsg>();
    assert_eq!(moved.ok(), Some(echo.clone()));
    let read = Body::Encoded(Payload::of(&echo)).into_message::<EchoMsg>();
    assert_eq!(read.ok(), Some(echo.clone()));
    let payload = Body::value(echo.clone())
        .into_message::<Payload>()
        .ok()
        .unwrap();
    assert_eq!(payload, Payload::of(&echo));
    assert_eq!(payload.decode(), Ok(echo.clone()));
    assert!(payload.decode::<Ack>().is_err());
    let back = Body::value(payload).into_message::<EchoMsg>();
    assert_eq!(back.ok(), Some(echo.clone()));
    assert!(matches!(
        Body::value(echo).into_message::<Ack>(),
        Err(BodyError::Type(_))
    ));
    let broken = Payload::new(EchoMsg::WIRE_NAME, &b"\xff"[..]);
    assert!(matches!(
        Body::Encoded(broken).into_message::<EchoMsg>(),
        Err(BodyError::Bytes(_))
    ));
}

#[test]
fn a_stop_keeps_its_token_and_refuses_a_bad_name() {
    let token: Token = "7:9".parse().unwrap();
    let stop = ActorStop::new("worker").unwrap().token(token);
    let bytes = AnyMessage::encode(&stop);
    assert_eq!(<ActorStop as Message>::decode("", bytes).unwrap(), stop);
    assert!(<ActorStop as Message>::decode("", hex("0a032e2e2e")).is_err());
}
