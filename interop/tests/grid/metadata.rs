//! Headers that OpenTelemetry reads travel as plain metadata, in both directions.

use actorgrid::EchoMsg;
use interop::{Bed, Command, Kind};

const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const TRACESTATE: &str = "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7";
const BAGGAGE: &str = "userId=alice,serverNode=DF%2028";

pub(crate) async fn trace_headers_travel_plain_both_ways(bed: &Bed) {
    let go = bed.serving(Kind::Go, "go-traced", &[]).await;
    let rust = bed.serving(Kind::Rust, "rust-traced", &[]).await;
    let all = [TRACEPARENT, TRACESTATE, BAGGAGE].join("\n");
    for (peer, name) in [(&go, "traced-go"), (&rust, "traced-rust")] {
        bed.go
            .start_actor(&peer.id, name, "headers")
            .await
            .success();
        let answer = bed
            .rust
            .request(name, EchoMsg::default())
            .header("traceparent", TRACEPARENT)
            .header("tracestate", TRACESTATE)
            .header("baggage", BAGGAGE)
            .wait_for_name();
        assert_eq!(answer.await.unwrap().msg, all, "from our client to {name}");
        let answer = bed.go.ask(Command {
            op: "request",
            to: name.to_owned(),
            metadata: vec![
                "traceparent",
                TRACEPARENT,
                "tracestate",
                TRACESTATE,
                "baggage",
                BAGGAGE,
            ],
            ..Command::default()
        });
        assert_eq!(
            answer.await.success().text,
            all,
            "from a Go client to {name}"
        );
    }
}
