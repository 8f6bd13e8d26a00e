//! Errors as gRPC statuses: for Go clients by code and text, for our clients by a trailer.

use http::HeaderMap;
use prost::Message as _;
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

use crate::code::Code as ActorCode;
use crate::error::{Executed, RequestError, RequestErrorKind as Kind};
use crate::message::Payload;
use crate::name::Name;
use crate::stable_names::StableName as _;
use crate::wire::detail::{ErrorDetail, error_detail};

/// The trailer in which our peers report an error exactly; a Go peer ignores it.
const ERROR_KEY: &str = "grid-error-bin";

/// The texts that a Go client compares, word for word.
const UNKNOWN_MAILBOX: &str = "grid: unknown mailbox";
const RECEIVER_BUSY: &str = "grid: receiver busy";
const NO_REPLY: &str = "grid: no reply";
const CONTEXT_FINISHED: &str = "grid: context finished";
/// The text of a Go server that has no peer.
const UNKNOWN_SERVICE: &str = "unknown service grid.wire";
const UNREGISTERED_TYPE: &str = "codec: unregistered message type";
const INVALID_WIRE_FORMAT: &str = "proto: cannot parse invalid wire-format data";

/// Returns the status that reports this error: to a Go client by code and text, to ours by the
/// trailer. The code of an application's error is the status code for both.
pub(crate) fn of_error(error: &RequestError) -> Status {
    let (code, text) = match error.kind() {
        Kind::NotHeld | Kind::UnknownName | Kind::MailboxClosed => (Code::Unknown, UNKNOWN_MAILBOX),
        Kind::Busy => (Code::Unknown, RECEIVER_BUSY),
        Kind::NoReply => (Code::Unknown, NO_REPLY),
        Kind::DeadlineExceeded => (Code::Unknown, CONTEXT_FINISHED),
        Kind::UnknownMessage => (Code::Unknown, UNREGISTERED_TYPE),
        Kind::InvalidMessage => (Code::Unknown, INVALID_WIRE_FORMAT),
        Kind::MessageTooLarge | Kind::ReplyTooLarge => (Code::ResourceExhausted, error.text()),
        Kind::Application => {
            let code = error.code().unwrap_or(ActorCode::Unknown);
            (Code::from_i32(code.number()), error.text())
        }
        _ => (Code::Unknown, error.text()),
    };
    with_text(error, code, text)
}

/// Returns a status with this code and this text.
///
/// The text of an error has at most 64 KiB, so with percent-encoding and a detail of 8 KiB the
/// status stays below the 256 KiB that a client accepts. The error's own text goes into the trailer
/// only if the status has another, short text.
pub(crate) fn with_text(error: &RequestError, code: Code, text: &str) -> Status {
    let mut status = Status::new(code, text);
    let (detail_type, detail) = match error.payload() {
        Some(payload) => (payload.wire_name().to_owned(), payload.bytes().clone()),
        None => Default::default(),
    };
    let trailer = ErrorDetail {
        kind: error.kind().as_str().to_owned(),
        executed: match error.executed() {
            Executed::Maybe => error_detail::Executed::Maybe,
            Executed::No => error_detail::Executed::No,
            Executed::Yes => error_detail::Executed::Yes,
        }
        .into(),
        holder: error.holder().map(Name::to_string).unwrap_or_default(),
        token: error
            .token()
            .map(|token| token.to_string())
            .unwrap_or_default(),
        detail_type,
        detail,
        text: if text == error.text() {
            String::new()
        } else {
            error.text().to_owned()
        },
    };
    let value = MetadataValue::from_bytes(&trailer.encode_to_vec());
    status.metadata_mut().insert_bin(ERROR_KEY, value);
    status
}

/// Returns the status in these headers or trailers, if any.
pub(crate) fn of_headers(headers: &mut HeaderMap) -> Option<Status> {
    // The reader of this standard header panics if it is not base64, and nothing here uses it.
    headers.remove("grpc-status-details-bin");
    Status::from_header_map(headers)
}

/// Returns the error that a peer reports with this status.
///
/// If our trailer is present, only the trailer decides. Without it (a Go peer) only the two
/// rejections and a missing service, word for word, count as not executed. Any other text may be an
/// actor's: an actor may pass on the error that its own request failed with.
pub(crate) fn to_error(status: &Status) -> RequestError {
    let trailer = status
        .metadata()
        .get_bin(ERROR_KEY)
        .and_then(|value| value.to_bytes().ok())
        .and_then(|bytes| ErrorDetail::decode(bytes).ok());
    match trailer {
        Some(trailer) => of_trailer(trailer, status),
        None => of_text(status.code(), status.message()),
    }
}

fn of_trailer(trailer: ErrorDetail, status: &Status) -> RequestError {
    let executed = match trailer.executed() {
        error_detail::Executed::Maybe => Executed::Maybe,
        error_detail::Executed::No => Executed::No,
        error_detail::Executed::Yes => Executed::Yes,
    };
    let kind = Kind::of_name(&trailer.kind).unwrap_or(Kind::Unknown);
    let text = match trailer.text.is_empty() {
        true => status.message().to_owned(),
        false => trailer.text,
    };
    let mut error = RequestError::new(kind, executed, text);
    if let Ok(holder) = Name::new(&trailer.holder) {
        error = error.held_by(holder, trailer.token.parse().ok());
    }
    if let Some(code) = actor_code(kind, status.code()) {
        error = error.with_code(code);
    }
    if !trailer.detail_type.is_empty() {
        error = error.with_detail(Payload::new(trailer.detail_type, trailer.detail));
    }
    error
}

/// Returns the code of an application's error.
fn actor_code(kind: Kind, code: Code) -> Option<ActorCode> {
    match kind {
        Kind::Application => ActorCode::of_number(code.into()),
        _ => None,
    }
}

/// Returns the error that a peer reports without our trailer.
///
/// A code alone never makes the request safe to retry: an actor can return any code. The two
/// rejections have the code of every error without one, so an actor that returns another code is
/// not mistaken for them, whatever its text.
fn of_text(code: Code, text: &str) -> RequestError {
    let too_large = text.starts_with("grpc: received message larger than max")
        || text.contains("message length too large");
    let taken = text.starts_with("registering actor")
        && (text.ends_with("registry: already registered")
            || text.ends_with("registry: failed registration"));
    let unreadable = text.starts_with("proto:")
        || text.ends_with("string field contains invalid UTF-8")
        || text.starts_with("grpc: error unmarshalling request");
    let (kind, executed) = match (code, text) {
        (Code::Unknown, UNKNOWN_MAILBOX) => (Kind::NotHeld, Executed::No),
        (Code::Unknown, RECEIVER_BUSY) => (Kind::Busy, Executed::No),
        (Code::Unknown, CONTEXT_FINISHED) => (Kind::DeadlineExceeded, Executed::Maybe),
        // tonic reports OutOfRange where Go reports ResourceExhausted.
        (Code::ResourceExhausted | Code::OutOfRange, _) if too_large => {
            (Kind::MessageTooLarge, Executed::Maybe)
        }
        // Some other server listens there, not a peer of a grid: equivalent to no server at all.
        (Code::Unimplemented, UNKNOWN_SERVICE) => (Kind::Unreachable, Executed::No),
        (Code::Internal | Code::Unknown, _) if unreadable => {
            (Kind::InvalidMessage, Executed::Maybe)
        }
        (Code::Unknown, UNREGISTERED_TYPE) => (Kind::UnknownMessage, Executed::Maybe),
        (Code::Unknown, NO_REPLY) => (Kind::NoReply, Executed::Maybe),
        (Code::Unknown, "grid: nil actor") => (Kind::StartFailed, Executed::Maybe),
        (Code::Unknown, _) if taken => (Kind::AlreadyRunning, Executed::Maybe),
        (Code::Unknown, _) if text.starts_with("grid: def not registered") => {
            (Kind::UnknownActorType, Executed::Maybe)
        }
        (Code::Unknown, _)
            if text.starts_with("grid: invalid name")
                || text.starts_with("grid: invalid actor type") =>
        {
            (Kind::InvalidName, Executed::Maybe)
        }
        _ => (Kind::Application, Executed::Maybe),
    };
    let error = RequestError::new(kind, executed, text);
    match actor_code(kind, code) {
        Some(code) => error.with_code(code),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::MAX_ERROR_TEXT;
    use crate::revision::Revision;
    use crate::token::{ClusterId, Token};
    use proptest::prelude::*;

    fn through_headers(status: &Status) -> Status {
        let mut headers = HeaderMap::new();
        status.add_header(&mut headers).unwrap();
        of_headers(&mut headers).unwrap()
    }

    #[test]
    fn a_go_client_reads_its_own_texts() {
        let own = "own text";
        for (kind, code, text) in [
            (Kind::NotHeld, 2, "grid: unknown mailbox"),
            (Kind::UnknownName, 2, "grid: unknown mailbox"),
            (Kind::MailboxClosed, 2, "grid: unknown mailbox"),
            (Kind::Busy, 2, "grid: receiver busy"),
            (Kind::NoReply, 2, "grid: no reply"),
            (Kind::DeadlineExceeded, 2, "grid: context finished"),
            (Kind::UnknownMessage, 2, "codec: unregistered message type"),
            (
                Kind::InvalidMessage,
                2,
                "proto: cannot parse invalid wire-format data",
            ),
            (Kind::MessageTooLarge, 8, own),
            (Kind::UnknownActorType, 2, own),
            (Kind::AlreadyRunning, 2, own),
            (Kind::StartFailed, 2, own),
            (Kind::StopFailed, 2, own),
            (Kind::InvalidName, 2, own),
            (Kind::Application, 2, own),
        ] {
            let status = through_headers(&of_error(&RequestError::refused(kind, own)));
            assert_eq!((status.code() as i32, status.message()), (code, text));
        }
    }

    use Executed::{Maybe, No};

    /// Codes and texts of Go peers, and what they mean.
    const OF_GO: &[(i32, &str, Kind, Executed)] = &[
        (2, "grid: unknown mailbox", Kind::NotHeld, No),
        (2, "grid: receiver busy", Kind::Busy, No),
        (2, "grid: receiver busy ", Kind::Application, Maybe),
        (5, "grid: unknown mailbox", Kind::Application, Maybe),
        (
            2,
            "wrapped: grid: unknown mailbox",
            Kind::Application,
            Maybe,
        ),
        (2, "grid: context finished", Kind::DeadlineExceeded, Maybe),
        // A context of the actor itself: the request's deadline ends it here.
        (4, "context deadline exceeded", Kind::Application, Maybe),
        (14, "grid: receiver busy", Kind::Application, Maybe),
        (14, "unknown service grid.wire", Kind::Application, Maybe),
        (
            8,
            "grpc: received message larger than max (4194305 vs. 4194304)",
            Kind::MessageTooLarge,
            Maybe,
        ),
        (
            11,
            "Error, decoded message length too large: found 9 bytes, the limit is: 4 bytes",
            Kind::MessageTooLarge,
            Maybe,
        ),
        (8, "quota", Kind::Application, Maybe),
        (
            2,
            "codec: unregistered message type",
            Kind::UnknownMessage,
            Maybe,
        ),
        (2, "grid: no reply", Kind::NoReply, Maybe),
        (2, "grid: nil actor", Kind::StartFailed, Maybe),
        (
            2,
            "grid: def not registered: type=nosuchdef",
            Kind::UnknownActorType,
            Maybe,
        ),
        (
            2,
            "grid: def not registered (nil def): type=X",
            Kind::UnknownActorType,
            Maybe,
        ),
        (
            2,
            "registering actor \"wire.actor.d1\": registry: already registered",
            Kind::AlreadyRunning,
            Maybe,
        ),
        (
            2,
            "registering actor \"wire.actor.d1\": registry: failed registration",
            Kind::AlreadyRunning,
            Maybe,
        ),
        (
            2,
            "grid: invalid name: namespace=wire name=bad.name",
            Kind::InvalidName,
            Maybe,
        ),
        (
            2,
            "grid: invalid actor type: type=bad.type",
            Kind::InvalidName,
            Maybe,
        ),
        (
            2,
            "proto: cannot parse invalid wire-format data",
            Kind::InvalidMessage,
            Maybe,
        ),
        (
            13,
            "grpc: error unmarshalling request: string field contains invalid UTF-8",
            Kind::InvalidMessage,
            Maybe,
        ),
        (12, "unknown service grid.wire", Kind::Unreachable, No),
        (12, "an actor does not do this", Kind::Application, Maybe),
        (12, "", Kind::Application, Maybe),
        (2, "anything else", Kind::Application, Maybe),
        (1, "context canceled", Kind::Application, Maybe),
    ];

    #[test]
    fn a_go_peer_is_understood_by_its_texts() {
        for (code, text, kind, executed) in OF_GO.iter().copied() {
            let error = to_error(&through_headers(&Status::new(Code::from(code), text)));
            assert_eq!((error.kind(), error.executed()), (kind, executed), "{text}");
            assert_eq!(error.text(), text);
            let actor_code = ActorCode::of_number(code).filter(|_| kind == Kind::Application);
            assert_eq!(error.code(), actor_code, "{text}");
        }
    }

    #[test]
    fn a_code_of_an_actor_is_that_of_the_status_and_never_a_refusal() {
        for code in ActorCode::ALL {
            for text in ["own text", UNKNOWN_MAILBOX, RECEIVER_BUSY, UNKNOWN_SERVICE] {
                let error = RequestError::new(Kind::Application, Executed::Yes, text);
                let mut headers = HeaderMap::new();
                let status = of_error(&error.with_code(*code));
                status.add_header(&mut headers).unwrap();
                assert_eq!(headers["grpc-status"], code.number().to_string());
                let mut status = of_headers(&mut headers).unwrap();
                let ours = to_error(&status);
                assert_eq!(ours.kind(), Kind::Application);
                assert_eq!(ours.executed(), Executed::Yes);
                assert_eq!((ours.code(), ours.text()), (Some(*code), text));
                // The same from a Go peer. Only an error without its own code may be a rejection,
                // or a missing service.
                status.metadata_mut().clear();
                let go = to_error(&status);
                let refused = match code {
                    ActorCode::Unknown => text == UNKNOWN_MAILBOX || text == RECEIVER_BUSY,
                    ActorCode::Unimplemented => text == UNKNOWN_SERVICE,
                    _ => false,
                };
                assert_eq!(go.executed() == Executed::No, refused, "{code} {text}");
                if !refused {
                    assert_eq!((go.kind(), go.code()), (Kind::Application, Some(*code)));
                }
            }
        }
    }

    #[test]
    fn an_error_of_the_grid_has_no_code() {
        for kind in Kind::ALL.iter().filter(|kind| **kind != Kind::Application) {
            let error = RequestError::refused(*kind, "own text");
            assert_eq!(error.code(), None);
            assert_eq!(to_error(&through_headers(&of_error(&error))).code(), None);
        }
    }

    /// The header and the trailer, byte for byte.
    #[test]
    fn the_status_of_a_code_keeps_its_bytes() {
        let error = RequestError::new(Kind::Application, Executed::Yes, "no such account")
            .with_code(ActorCode::NotFound)
            .with_detail(Payload::new("d/D", vec![10, 1, 100]));
        let mut headers = HeaderMap::new();
        of_error(&error).add_header(&mut headers).unwrap();
        assert_eq!(headers["grpc-status"], "5");
        assert_eq!(headers["grpc-message"], "no%20such%20account");
        assert_eq!(headers[ERROR_KEY], "CgthcHBsaWNhdGlvbhACKgNkL0QyAwoBZA");
    }

    #[test]
    fn an_unknown_kind_keeps_what_is_known() {
        let mut status = Status::new(Code::Unknown, "grid: unknown mailbox");
        let trailer = ErrorDetail {
            kind: "from-the-future".to_owned(),
            executed: 2,
            ..ErrorDetail::default()
        };
        let value = MetadataValue::from_bytes(&trailer.encode_to_vec());
        status.metadata_mut().insert_bin(ERROR_KEY, value);
        let error = to_error(&through_headers(&status));
        assert_eq!(
            (error.kind(), error.executed()),
            (Kind::Unknown, Executed::Yes)
        );
    }

    #[test]
    fn the_standard_headers_of_a_peer_do_no_harm() {
        let mut headers = HeaderMap::new();
        headers.insert("grpc-status", "2".parse().unwrap());
        headers.insert("grpc-status-details-bin", "%%%".parse().unwrap());
        headers.insert(ERROR_KEY, "%%%".parse().unwrap());
        headers.insert("grpc-message", "grid: receiver busy".parse().unwrap());
        let error = to_error(&of_headers(&mut headers).unwrap());
        assert_eq!(error.kind(), Kind::Busy);
    }

    #[test]
    fn the_largest_error_fits_into_the_headers_that_a_client_takes() {
        let text = "\u{7f}".repeat(MAX_ERROR_TEXT + 1);
        for kind in [Kind::Application, Kind::NotHeld] {
            let error = RequestError::refused(kind, text.clone())
                .with_detail(Payload::new("t".repeat(1024), vec![0; 8 * 1024]));
            let mut headers = HeaderMap::new();
            of_error(&error).add_header(&mut headers).unwrap();
            let bytes: usize = headers
                .iter()
                .map(|(name, value)| name.as_str().len() + value.len() + 32)
                .sum();
            assert!(bytes < 240 * 1024, "{bytes}");
        }
    }

    proptest! {
        #[test]
        fn every_error_of_ours_comes_back_whole(
            kind in proptest::sample::select(Kind::ALL),
            executed in proptest::sample::select(&[No, Maybe, Executed::Yes][..]),
            text in prop_oneof![
                ".{0,40}",
                Just(UNKNOWN_MAILBOX.to_owned()),
                Just("a%41\n".to_owned()),
            ],
            holder in proptest::option::of("[a-z0-9-]{1,20}"),
            token in proptest::option::of((any::<u64>(), 0..i64::MAX)),
            detail in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..50)),
            code in proptest::option::of(proptest::sample::select(ActorCode::ALL)),
        ) {
            let mut error = RequestError::new(kind, executed, text);
            let token = token.map(|(cluster, revision)| {
                Token::new(ClusterId(cluster), Revision::new(revision))
            });
            if let Some(holder) = &holder {
                error = error.held_by(Name::new(holder).unwrap(), token);
            }
            if let Some(code) = code {
                error = error.with_code(code);
            }
            if let Some(detail) = detail {
                error = error.with_detail(Payload::new("some/Detail", detail));
            }
            let back = to_error(&through_headers(&of_error(&error)));
            prop_assert_eq!(back.kind(), error.kind());
            prop_assert_eq!(back.executed(), error.executed());
            // An empty text looks like none.
            if !error.text().is_empty() {
                prop_assert_eq!(back.text(), error.text());
            }
            prop_assert_eq!(back.holder(), error.holder());
            prop_assert_eq!(back.token(), error.token());
            prop_assert_eq!(back.code(), error.code());
            prop_assert_eq!(back.payload(), error.payload());
        }
    }
}
