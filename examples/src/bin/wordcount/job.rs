//! The job: owned by the process that was asked for it, and carried out by the leader.

use std::time::Duration;

use actorgrid::{
    Ack, BoxError, Client, Kind, Mailbox, MessageSet, Request, RequestError, RequestErrorKind,
    Server, TokenExpired,
};
use indicatif::{ProgressBar, ProgressStyle};
use prost::Message as _;

use crate::collect::{Outcome, collect};
use crate::job_actors::stop_actors;
use crate::messages::{Began, Chunk, ChunkDone, GaveUp, GetPlan, PlanPage};
use crate::plan::Plan;

/// The name of the job's mailbox.
pub(crate) const JOB: &str = "job";
/// The deadline of requests that wait for the work of others.
pub(crate) const REQUEST_DEADLINE: Duration = Duration::from_secs(60);
/// The number of requests that may wait for the job: a leader has one under way at a time.
const CAPACITY: usize = 16;
/// The size of one page of the plan, in bytes.
const PAGE_BYTES: usize = 1024 * 1024;

#[derive(MessageSet)]
enum JobMessage {
    GetPlan(Request<GetPlan>),
    Began(Request<Began>),
    ChunkDone(Request<ChunkDone>),
    GaveUp(Request<GaveUp>),
}

/// A job, as the process that was asked for it sees it.
pub(crate) struct Job {
    client: Client,
    mailbox: Mailbox<JobMessage>,
    plan: Plan,
    members: u32,
    /// Stop the leader once this many chunks are done; `None` after it was stopped.
    end_leader_at: Option<u64>,
    done: u64,
    /// The leaders so far.
    leaders: Vec<i64>,
    bar: ProgressBar,
}

impl Job {
    /// Opens the job on the peers that are registered now.
    pub(crate) async fn open(
        server: &Server,
        plan: Plan,
        end_leader_at_percent: Option<u8>,
    ) -> Result<Self, BoxError> {
        let mailbox = server.mailbox(JOB, CAPACITY).await?;
        let client = server.client().clone();
        let members = u32::try_from(client.query(Kind::Peer).await?.len())?.max(1);
        let chunks = plan.chunks.len() as u64;
        let bar = ProgressBar::new(chunks).with_style(ProgressStyle::with_template(
            "{wide_bar} {pos}/{len} chunks, {eta} left",
        )?);
        Ok(Self {
            client,
            mailbox,
            plan,
            members,
            end_leader_at: end_leader_at_percent
                .map(|percent| (chunks * u64::from(percent)).div_ceil(100).max(1)),
            done: 0,
            leaders: Vec::new(),
            bar,
        })
    }

    /// Serves the leader until everything is counted, and collects the counts.
    pub(crate) async fn run(mut self) -> Result<Outcome, BoxError> {
        let chunks = self.plan.chunks.len() as u64;
        loop {
            let message = self
                .mailbox
                .recv()
                .await
                .ok_or("the peer of the job has left")?;
            self.handle(message).await?;
            self.bar.set_position(self.done);
            if self.done == chunks {
                break;
            }
        }
        self.bar.finish_and_clear();
        let job = self.mailbox.token()?.revision();
        // The leader is no longer needed.
        self.mailbox.close().await;
        let outcome = collect(
            &self.client,
            job,
            self.members,
            &self.plan,
            self.leaders.len(),
        )
        .await;
        stop_actors(&self.client, job, self.members).await;
        outcome
    }

    async fn handle(&mut self, message: JobMessage) -> Result<(), BoxError> {
        // A leader that does not wait for its answer has ended; the next one starts over.
        match message {
            JobMessage::GetPlan(request) => {
                let page = self.page(request.message().from)?;
                let _ = request.respond(page);
            }
            JobMessage::Began(request) => {
                self.began(request.message());
                let _ = request.respond(Ack {});
            }
            JobMessage::ChunkDone(request) => {
                if self.leaders.last() == Some(&request.message().leader) {
                    self.done += 1;
                    if self.end_leader_at.is_some_and(|at| self.done >= at) {
                        self.end_leader().await?;
                    }
                }
                let _ = request.respond(Ack {});
            }
            JobMessage::GaveUp(request) => {
                return Err(format!("the leader gave up: {}", request.message().why).into());
            }
        }
        Ok(())
    }

    fn page(&self, from: u64) -> Result<PlanPage, TokenExpired> {
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        let mut bytes = 0;
        let fits = |chunk: &&Chunk| {
            let is_first = bytes == 0;
            bytes += chunk.encoded_len().max(1);
            is_first || bytes <= PAGE_BYTES
        };
        Ok(PlanPage {
            job: self.mailbox.token()?.revision(),
            members: self.members,
            chunks_in_all: self.plan.chunks.len() as u64,
            chunks: self
                .plan
                .chunks
                .iter()
                .skip(from)
                .take_while(fits)
                .cloned()
                .collect(),
        })
    }

    fn began(&mut self, began: &Began) {
        self.done = began.done;
        if self.leaders.last() == Some(&began.leader) {
            return; // another round of the same leader
        }
        self.leaders.push(began.leader);
        if self.leaders.len() > 1 {
            let remain = self.plan.chunks.len() as u64 - began.done;
            self.say(&format!(
                "leader {} took over: {} chunks were done, {remain} remain ({} of them counted in part)",
                self.leaders.len(),
                began.done,
                began.in_part,
            ));
        }
    }

    /// Stops the leader, which is waiting for an answer now. Its successor reports what is done.
    async fn end_leader(&mut self) -> Result<(), RequestError> {
        self.end_leader_at = None;
        self.say(&format!(
            "leader {} is ended at {} of {} chunks",
            self.leaders.len(),
            self.done,
            self.plan.chunks.len(),
        ));
        self.done = 0;
        match self.client.stop("leader").await {
            // It has already ended.
            Err(error) if error.kind() == RequestErrorKind::UnknownName => Ok(()),
            result => result,
        }
    }

    fn say(&self, text: &str) {
        self.bar.suspend(|| eprintln!("{text}"));
    }
}
