//! Reads the messages of an open watch: assembles whole revisions, and detects how far they are
//! complete and that nothing arrives any more.

use std::collections::VecDeque;

use futures_core::Stream;
use futures_util::StreamExt as _;
use prost::Message as _;
use tokio::sync::mpsc;
use tonic::Status;

use super::silence::{Silence, SilenceVerdict};
use super::txn;
use crate::environment::{Environment, Timestamp};
use crate::registry::{Change, RegistryError, WatchUpdate};
use crate::revision::Revision;
use crate::wire::etcd::event::EventType;
use crate::wire::etcd::watch_request::RequestUnion;
use crate::wire::etcd::{Event, WatchProgressRequest, WatchRequest, WatchResponse};

/// The limits on the messages that are held back, and on their total size: they arrive within a
/// round trip, after seconds without any. If more arrive, the next watch reads them, to which etcd
/// sends them before there is a reason to ask for progress.
const MAX_HELD: usize = 16;
const MAX_HELD_BYTES: usize = 1 << 20;

/// A watch that was just opened.
pub(super) struct OpenedFeed<S> {
    pub(super) responses: S,
    /// The requests of the stream. Dropping this ends the stream.
    pub(super) requests: mpsc::Sender<WatchRequest>,
    /// Whether etcd replies to requests for progress.
    pub(super) answers: bool,
    /// Whether these replies can be trusted.
    pub(super) ordered: bool,
    /// The id that etcd assigned to the watch.
    pub(super) id: i64,
    /// No change before this revision is passed on.
    pub(super) from: Revision,
}

/// The responses of one watch, which has a stream to itself.
pub(super) struct WatchFeed<S> {
    environment: Environment,
    opened: OpenedFeed<S>,
    silence: Option<Silence>,
    /// The messages that arrived since etcd was asked for progress. If the reply is lost, earlier
    /// messages may be lost, too.
    held: VecDeque<WatchResponse>,
    /// The total size of the messages that arrived since then.
    held_bytes: usize,
    /// The changes so far of a revision that is not complete. Messages are processed one at a time,
    /// so this is at most one revision.
    changes: Vec<Change>,
    /// No change before this revision is passed on.
    next: Revision,
}

/// The reason a watch ended.
#[derive(Debug)]
pub(super) enum FeedEnd {
    /// The stream failed.
    Broken(Status),
    /// The requested history is gone.
    Compacted,
    /// etcd has cancelled the watch, for this reason.
    Cancelled(String),
    /// Nothing arrived, even though etcd was asked for progress.
    Silent,
    /// More messages arrived while waiting for progress than are held back.
    Overrun,
    /// A message was rejected by the caller's check.
    Refused(RegistryError),
}

impl<S: Stream<Item = Result<WatchResponse, Status>> + Unpin> WatchFeed<S> {
    pub(super) fn new(environment: &Environment, opened: OpenedFeed<S>) -> Self {
        Self {
            environment: environment.clone(),
            silence: opened.answers.then(|| Silence::new(environment.now())),
            held: VecDeque::new(),
            held_bytes: 0,
            changes: Vec::new(),
            next: opened.from,
            opened,
        }
    }

    /// Returns the next whole revisions, or how far they are complete. `check` is applied to each
    /// message first. Cancel safe: what has arrived is kept.
    pub(super) async fn update(
        &mut self,
        check: impl Fn(&WatchResponse) -> Result<(), RegistryError>,
    ) -> Result<WatchUpdate, FeedEnd> {
        loop {
            let response = self.response().await?;
            check(&response).map_err(FeedEnd::Refused)?;
            if response.compact_revision > 0 {
                return Err(FeedEnd::Compacted);
            }
            if response.canceled {
                return Err(FeedEnd::Cancelled(response.cancel_reason));
            }
            if response.events.is_empty() {
                match self.complete_to(&response) {
                    Some(complete) => return Ok(WatchUpdate::CompleteTo(complete)),
                    // A message without changes does not complete a revision.
                    None => continue,
                }
            }
            let fragment = response.fragment;
            let changes = response.events.into_iter().filter_map(change);
            let next = self.next;
            self.changes
                .extend(changes.filter(|change| change.revision() >= next));
            let whole = take_whole(&mut self.changes, fragment);
            if let Some(last) = whole.last() {
                self.next = last.revision().next();
                return Ok(WatchUpdate::Changes(whole));
            }
        }
    }

    async fn response(&mut self) -> Result<WatchResponse, FeedEnd> {
        loop {
            if !self.is_asked()
                && let Some(response) = self.held.pop_front()
            {
                return Ok(response);
            }
            let due = self.silence.as_ref().map(Silence::due);
            let response = tokio::select! {
                biased;
                // First, so that a silence is judged only when everything that has arrived is read.
                response = self.opened.responses.next() => response,
                () = sleep_until(&self.environment, due) => {
                    self.judge_silence()?;
                    continue;
                }
            };
            let response = match response {
                Some(Ok(response)) => response,
                Some(Err(status)) => return Err(FeedEnd::Broken(status)),
                None => return Err(FeedEnd::Broken(Status::unavailable("the watch ended"))),
            };
            if response.canceled || response.compact_revision > 0 {
                return Ok(response);
            }
            if self.is_asked() && !response.events.is_empty() {
                self.held_bytes = self.held_bytes.saturating_add(response.encoded_len());
                if self.held.len() == MAX_HELD || self.held_bytes > MAX_HELD_BYTES {
                    return Err(FeedEnd::Overrun);
                }
            } else if let Some(silence) = &mut self.silence {
                silence.heard(self.environment.now());
                self.held_bytes = 0;
            }
            self.held.push_back(response);
        }
    }

    fn is_asked(&self) -> bool {
        self.silence.as_ref().is_some_and(Silence::is_asked)
    }

    fn judge_silence(&mut self) -> Result<(), FeedEnd> {
        let now = self.environment.now();
        match self.silence.as_mut().map(|silence| silence.judge(now)) {
            Some(SilenceVerdict::Ask) => {
                // If not even an earlier request gets through, the lack of a reply is noticed
                // anyway.
                let _ = self.opened.requests.try_send(progress_request());
                Ok(())
            }
            Some(SilenceVerdict::Broken) => Err(FeedEnd::Silent),
            Some(SilenceVerdict::Wait) | None => Ok(()),
        }
    }

    /// Returns how far the watch is complete, if a message without changes says so. Unsolicited
    /// progress for this watch can be trusted in all versions.
    fn complete_to(&self, response: &WatchResponse) -> Option<Revision> {
        let is_true = self.opened.ordered || response.watch_id == self.opened.id;
        if !is_true || response.created || !self.changes.is_empty() {
            return None;
        }
        let revision = Revision::new(response.header.as_ref()?.revision);
        (revision >= self.next).then_some(revision)
    }
}

async fn sleep_until(environment: &Environment, until: Option<Timestamp>) {
    match until {
        Some(until) => environment.sleep_until(until).await,
        None => std::future::pending().await,
    }
}

fn progress_request() -> WatchRequest {
    WatchRequest {
        request_union: Some(RequestUnion::ProgressRequest(WatchProgressRequest {})),
    }
}

/// Takes the complete revisions. If the message is a fragment that is continued, its last revision
/// may continue in the next message.
fn take_whole(changes: &mut Vec<Change>, goes_on: bool) -> Vec<Change> {
    let torn = changes.last().filter(|_| goes_on).map(Change::revision);
    let torn = torn.map_or(changes.len(), |torn| {
        changes.partition_point(|change| change.revision() < torn)
    });
    let rest = changes.split_off(torn);
    std::mem::replace(changes, rest)
}

fn change(event: Event) -> Option<Change> {
    let deleted = event.r#type() == EventType::Delete;
    let kv = event.kv?;
    if deleted {
        return Some(Change::Deleted {
            revision: Revision::new(kv.mod_revision),
            key: txn::text(kv.key)?,
        });
    }
    txn::entry(kv).map(Change::Put)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::stream;

    use super::*;
    use crate::environment::Simulation;
    use crate::wire::etcd::{KeyValue, ResponseHeader};

    const ID: i64 = 3;

    /// A watch whose other side is controlled by the test.
    struct Watched {
        feed: WatchFeed<stream::BoxStream<'static, Result<WatchResponse, Status>>>,
        answers: mpsc::Sender<Result<WatchResponse, Status>>,
        requests: mpsc::Receiver<WatchRequest>,
    }

    impl Watched {
        /// Creates a watch from revision 11 on.
        fn new(asks: bool, ordered: bool) -> Self {
            let environment = Simulation::new(7).environment();
            let (answers, mut answered) = mpsc::channel(100);
            let (sender, requests) = mpsc::channel(1);
            let opened = OpenedFeed {
                responses: stream::poll_fn(move |cx| answered.poll_recv(cx)).boxed(),
                requests: sender,
                answers: asks,
                ordered,
                id: ID,
                from: Revision::new(11),
            };
            let feed = WatchFeed::new(&environment, opened);
            Self {
                feed,
                answers,
                requests,
            }
        }

        fn answer(&self, response: WatchResponse) {
            self.answers.try_send(Ok(response)).unwrap();
        }

        /// Returns the revisions of the next changes, or how far they are complete.
        async fn next(&mut self) -> Result<(Vec<i64>, Option<i64>), FeedEnd> {
            Ok(match self.feed.update(|_| Ok(())).await? {
                WatchUpdate::Changes(changes) => {
                    let revisions = changes.iter().map(|change| change.revision().get());
                    (revisions.collect(), None)
                }
                WatchUpdate::CompleteTo(revision) => (Vec::new(), Some(revision.get())),
            })
        }

        /// Waits for this long, and asserts that nothing is reported.
        async fn is_quiet(&mut self, millis: u64) {
            let quiet = tokio::time::timeout(Duration::from_millis(millis), self.next()).await;
            assert!(quiet.is_err(), "{quiet:?}");
        }

        fn was_asked(&mut self) -> bool {
            match self.requests.try_recv() {
                Ok(request) => {
                    assert_eq!(request, progress_request());
                    true
                }
                Err(_) => false,
            }
        }
    }

    fn progress(watch_id: i64, revision: i64) -> WatchResponse {
        WatchResponse {
            header: Some(ResponseHeader {
                revision,
                ..ResponseHeader::default()
            }),
            watch_id,
            ..WatchResponse::default()
        }
    }

    fn deletions(revisions: &[i64], fragment: bool) -> WatchResponse {
        let deletion = |revision: &i64| Event {
            r#type: EventType::Delete.into(),
            kv: Some(KeyValue {
                key: "k".into(),
                mod_revision: *revision,
                ..KeyValue::default()
            }),
        };
        WatchResponse {
            events: revisions.iter().map(deletion).collect(),
            fragment,
            ..progress(ID, 100)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_is_asked_and_does_not_answer_is_silent() {
        let mut watch = Watched::new(true, true);
        watch.is_quiet(4_000).await;
        assert!(!watch.was_asked());
        let begin = watch.feed.environment.now();
        let end = watch.next().await;
        assert!(matches!(end, Err(FeedEnd::Silent)), "{end:?}");
        let took = watch.feed.environment.now().since(begin);
        assert_eq!(took.as_secs(), 3);
        assert!(watch.was_asked());
        assert!(!watch.was_asked());
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_of_any_kind_is_a_sign_of_life() {
        for ordered in [true, false] {
            let mut watch = Watched::new(true, ordered);
            for round in 0..10 {
                watch.is_quiet(5_500).await;
                assert!(watch.was_asked(), "{round}");
                watch.answer(progress(-1, 20));
                match ordered {
                    true => assert_eq!(watch.next().await.unwrap(), (vec![], Some(20))),
                    false => watch.is_quiet(100).await,
                }
            }
        }
        // An unsolicited message is a sign of life as well.
        let mut watch = Watched::new(true, true);
        for revision in 11..30 {
            watch.is_quiet(4_000).await;
            watch.answer(deletions(&[revision], false));
            assert_eq!(watch.next().await.unwrap(), (vec![revision], None));
        }
        assert!(!watch.was_asked());
    }

    /// If messages are swallowed for a while, they may be missing before those that arrive later.
    /// So later messages are not passed on before etcd has replied.
    #[tokio::test(start_paused = true)]
    async fn changes_behind_a_question_wait_for_its_answer() {
        let mut watch = Watched::new(true, true);
        watch.is_quiet(5_500).await;
        assert!(watch.was_asked());
        watch.answer(deletions(&[12], false));
        watch.is_quiet(100).await;
        watch.answer(deletions(&[13], false));
        watch.answer(progress(-1, 14));
        assert_eq!(watch.next().await.unwrap(), (vec![12], None));
        assert_eq!(watch.next().await.unwrap(), (vec![13], None));
        assert_eq!(watch.next().await.unwrap(), (vec![], Some(14)));

        watch.is_quiet(5_500).await;
        watch.answer(deletions(&[15], false));
        let end = watch.next().await;
        assert!(matches!(end, Err(FeedEnd::Silent)), "{end:?}");
    }

    /// Creates a message of about this many bytes.
    fn large(revision: i64, bytes: usize) -> WatchResponse {
        let mut message = deletions(&[revision], false);
        let missing = bytes - message.encoded_len();
        // Not exactly, because the encoded lengths become longer too.
        message.events[0].kv.as_mut().unwrap().value = vec![7; missing - 20].into();
        assert!((bytes - 20..=bytes).contains(&message.encoded_len()));
        message
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_than_sixteen_messages_and_a_mebibyte_wait_for_an_answer() {
        const MIB: usize = 1 << 20;
        for (count, bytes, overrun) in [
            (16, 100, false),
            (17, 100, true),
            (1, MIB, false),
            (1, MIB + 100, true),
            (16, MIB / 16, false),
            (15, MIB / 14, true),
        ] {
            let mut watch = Watched::new(true, true);
            // Messages that were held back earlier do not count, and neither do those that are not
            // held back.
            for (question, from) in [11, 31].into_iter().enumerate() {
                watch.is_quiet(5_500).await;
                for revision in from..from + count {
                    watch.answer(large(revision, bytes));
                }
                watch.answer(progress(-1, from + 19));
                let first = watch.next().await;
                let is = matches!(first, Err(FeedEnd::Overrun));
                assert_eq!(is, overrun, "{count} {bytes} {question} {first:?}");
                if overrun {
                    break;
                }
                while watch.next().await.unwrap().1.is_none() {}
                assert!(watch.was_asked());
            }
        }
        let mut watch = Watched::new(true, true);
        for revision in 11..31 {
            watch.answer(large(revision, MIB));
        }
        for revision in 11..31 {
            assert_eq!(watch.next().await.unwrap(), (vec![revision], None));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_waits_unread_counts() {
        let mut watch = Watched::new(true, true);
        watch.is_quiet(5_500).await;
        watch.answer(progress(-1, 20));
        watch.feed.environment.sleep(Duration::from_secs(60)).await;
        assert_eq!(watch.next().await.unwrap(), (vec![], Some(20)));
        // However long nothing was polled, etcd is asked first.
        watch.feed.environment.sleep(Duration::from_secs(60)).await;
        watch.is_quiet(100).await;
        assert!(watch.was_asked());
    }

    #[tokio::test(start_paused = true)]
    async fn etcd_that_would_not_reply_is_not_asked() {
        let mut watch = Watched::new(false, false);
        watch.is_quiet(3_600_000).await;
        assert!(!watch.was_asked());
    }

    #[tokio::test(start_paused = true)]
    async fn progress_counts_only_where_it_is_true() {
        let torn = || deletions(&[11, 12], true);
        for (ordered, responses, expected) in [
            (true, vec![progress(-1, 20)], vec![(vec![], Some(20))]),
            (true, vec![progress(ID, 20)], vec![(vec![], Some(20))]),
            // In an older version, requested progress can overtake changes.
            (false, vec![progress(-1, 20)], vec![]),
            (false, vec![progress(ID, 20)], vec![(vec![], Some(20))]),
            // The revision is not new.
            (true, vec![progress(-1, 10)], vec![]),
            (true, vec![progress(-1, 11)], vec![(vec![], Some(11))]),
            (
                true,
                vec![deletions(&[11, 12], false), progress(-1, 12)],
                vec![(vec![11, 12], None)],
            ),
            // Progress in the middle of a revision.
            (
                true,
                vec![
                    torn(),
                    progress(-1, 20),
                    deletions(&[12], false),
                    progress(-1, 20),
                ],
                vec![(vec![11], None), (vec![12, 12], None), (vec![], Some(20))],
            ),
            // Changes before the requested revision are no progress.
            (true, vec![deletions(&[9, 10], false)], vec![]),
        ] {
            let mut watch = Watched::new(true, ordered);
            for response in &responses {
                watch.answer(response.clone());
            }
            for expected in expected {
                assert_eq!(watch.next().await.unwrap(), expected, "{responses:?}");
            }
            watch.is_quiet(100).await;
        }
    }

    fn deleted(revisions: &[i64]) -> Vec<Change> {
        let deleted = |(number, revision): (usize, &i64)| Change::Deleted {
            key: number.to_string(),
            revision: Revision::new(*revision),
        };
        revisions.iter().enumerate().map(deleted).collect()
    }

    #[test]
    fn a_revision_is_taken_when_all_of_it_has_come() {
        for (revisions, goes_on, whole) in [
            (&[][..], false, 0),
            (&[], true, 0),
            (&[1], false, 1),
            (&[1], true, 0),
            (&[1, 1, 1], true, 0),
            (&[1, 1, 2, 3, 3], true, 3),
            (&[1, 1, 2, 3, 3], false, 5),
        ] {
            let mut changes = deleted(revisions);
            let all = changes.clone();
            let taken = take_whole(&mut changes, goes_on);
            assert_eq!(taken, all[..whole], "{revisions:?} {goes_on}");
            assert_eq!(changes, all[whole..], "{revisions:?} {goes_on}");
        }
    }
}
