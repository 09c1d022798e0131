//! What workers report about their attempts: notes, outcomes and lease extensions, many at a time. Notes come first and
//! extensions last, so that one message can hold everything about an attempt.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::broadcast::error::RecvError;

use super::callbacks::Callback;
use super::counters::RemoteEnd;
use super::past_end::can_lead_to;
use super::remote::RemoteWorkers;
use super::remote_leases::RemoteLease;
use super::update_order::{UpdateTurn, ask_store};
use crate::engine::attempts::verdict::{Cause, Ending, Retry, verdict};
use crate::job::{Event, Fact, Interruption, Job, LogLine, Outcome, Progress, State, Verdict};
use crate::store::{Extension, LeaseRef, Note, SettleError, Settlement, StoreError};

/// A report of a worker. Leases are named by their texts.
#[derive(Debug, Default)]
pub struct WorkerUpdate {
    /// The leases to be extended.
    pub extend: Vec<String>,
    /// How long the extended leases last.
    pub lease: Duration,
    /// New log lines and progress.
    pub notes: Vec<WorkerNote>,
    /// How attempts ended.
    pub settles: Vec<WorkerSettle>,
}

impl WorkerUpdate {
    /// The texts of all leases that it names.
    pub fn leases(&self) -> impl Iterator<Item = &str> {
        let notes = self.notes.iter().map(|note| &note.lease);
        let settles = self.settles.iter().map(|settle| &settle.lease);
        self.extend.iter().chain(notes).chain(settles).map(String::as_str)
    }
}

/// Log lines and progress of an attempt.
#[derive(Debug)]
pub struct WorkerNote {
    /// The text of the lease.
    pub lease: String,
    /// New log lines.
    pub lines: Vec<LogLine>,
    /// The newest progress.
    pub progress: Option<Progress>,
}

/// The end of an attempt.
#[derive(Debug)]
pub struct WorkerSettle {
    /// The text of the lease.
    pub lease: String,
    /// How it ended, or why that cannot be stored.
    pub end: Result<AttemptEnding, String>,
}

/// How an attempt of a remote worker ended.
#[derive(Debug)]
pub enum AttemptEnding {
    /// The handler returned this.
    Reached(Outcome),
    /// The worker gives the job back, and the attempt does not count.
    Returned,
}

/// The answer to one extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExtendAnswer {
    /// The lease was extended.
    Kept,
    /// The lease was extended, and the job is to be cancelled.
    Cancel,
    /// The lease is lost.
    Lost,
}

impl ExtendAnswer {
    /// The public name.
    pub fn as_str(self) -> &'static str {
        match self {
            ExtendAnswer::Kept => "kept",
            ExtendAnswer::Cancel => "cancel",
            ExtendAnswer::Lost => "lost",
        }
    }
}

/// The answer to one note.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoteAnswer {
    /// It was stored.
    Noted,
    /// The lease is lost.
    Lost,
}

impl NoteAnswer {
    /// The public name.
    pub fn as_str(self) -> &'static str {
        match self {
            NoteAnswer::Noted => "noted",
            NoteAnswer::Lost => "lost",
        }
    }
}

/// The answer to the end of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettleAnswer {
    /// It is stored, now or by an earlier report, and led to this state.
    Settled(State),
    /// The lease was lost before, and the attempt ended in another way.
    Stale,
    /// The job is not stored any more.
    Gone,
    /// It cannot be stored.
    Invalid(String),
}

/// An answer, and the text of the lease that it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AboutLease<T> {
    /// The text, as the worker has sent it.
    pub lease: String,
    /// The answer.
    pub answer: T,
}

/// The answer to a report, in the order of its parts.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct UpdateAnswer {
    /// The answers to extensions.
    pub extend: Vec<AboutLease<ExtendAnswer>>,
    /// The answers to notes.
    pub notes: Vec<AboutLease<NoteAnswer>>,
    /// The answers to ends of attempts.
    pub settles: Vec<AboutLease<SettleAnswer>>,
}

impl RemoteWorkers {
    /// Applies a report when its turn comes. It goes on when nobody waits for the answer any more. The outcomes are durable
    /// when it resolves.
    pub fn update(
        self: &Arc<Self>,
        update: WorkerUpdate,
        turn: UpdateTurn,
    ) -> BoxFuture<'static, Result<UpdateAnswer, StoreError>> {
        let remote = self.clone();
        self.run_to_end(async move { remote.apply(update, turn).await }.boxed())
    }

    async fn apply(
        &self,
        update: WorkerUpdate,
        mut turn: UpdateTurn,
    ) -> Result<UpdateAnswer, StoreError> {
        turn.comes().await;
        let mut turn = Some(turn);
        let WorkerUpdate { extend, lease, notes, settles } = update;
        self.learn_named(&notes, &settles).await?;
        let mut answer = UpdateAnswer::default();
        if !notes.is_empty() {
            let turn = turn.take_if(|_| settles.is_empty() && extend.is_empty());
            answer.notes = self.note(notes, turn).await?;
        }
        if !settles.is_empty() {
            let turn = turn.take_if(|_| extend.is_empty());
            answer.settles = self.settle(settles, turn).await?;
        }
        if !extend.is_empty() {
            answer.extend = self.extend(extend, lease, turn).await?;
        }
        Ok(answer)
    }

    async fn note(
        &self,
        notes: Vec<WorkerNote>,
        turn: Option<UpdateTurn>,
    ) -> Result<Vec<AboutLease<NoteAnswer>>, StoreError> {
        let (mut answers, mut batch) = (Vec::with_capacity(notes.len()), Vec::new());
        for WorkerNote { lease, lines, progress } in notes {
            if let Some(callback) = self.callback_of(&lease).filter(|callback| callback.is_open()) {
                lines.iter().for_each(|line| callback.attempt.notes.line(line.stream, &line.text));
                progress.into_iter().for_each(|progress| callback.attempt.notes.progress(progress));
                answers.push(AboutLease { lease, answer: NoteAnswer::Noted });
                continue;
            }
            let held = match self.tokens.read(&lease) {
                Some(lease) => self.find(lease).await?,
                None => None,
            };
            let answer = if held.is_some() { NoteAnswer::Noted } else { NoteAnswer::Lost };
            answers.push(AboutLease { lease, answer });
            batch.extend(held.map(|held| Note { lease: held.lease, lines, progress }));
        }
        if !batch.is_empty() {
            ask_store(self.store.annotate(batch), turn).await?;
        }
        Ok(answers)
    }

    async fn extend(
        &self,
        texts: Vec<String>,
        ttl: Duration,
        turn: Option<UpdateTurn>,
    ) -> Result<Vec<AboutLease<ExtendAnswer>>, StoreError> {
        if let [text] = texts.as_slice()
            && let Some(callback) = self.callback_of(text)
        {
            // The heartbeat of this process extends the lease.
            let answer = match (callback.is_open(), callback.attempt.cancel.is_cancelled()) {
                (true, false) => ExtendAnswer::Kept,
                (true, true) => ExtendAnswer::Cancel,
                (false, _) => ExtendAnswer::Lost,
            };
            return Ok(vec![AboutLease { lease: text.clone(), answer }]);
        }
        let leases: Vec<Option<LeaseRef>> =
            texts.iter().map(|text| self.tokens.read(text)).collect();
        let valid: Vec<LeaseRef> = leases.iter().flatten().copied().collect();
        let when = self.read_clocks();
        let mut extensions = ask_store(self.store.extend(valid, ttl), turn).await?.into_iter();
        let (mut unknown, mut answers) = (Vec::new(), Vec::with_capacity(leases.len()));
        for lease in leases {
            let extension = lease.map(|lease| (lease, extensions.next()));
            let Some((lease, Some(extension))) = extension else {
                answers.push(ExtendAnswer::Lost);
                continue;
            };
            let mut table = self.table();
            match extension {
                Extension::Lost => drop(table.end(lease)),
                Extension::Kept | Extension::CancelAsked => {
                    if !table.extended(lease, ttl, when) {
                        unknown.push(lease);
                    }
                }
            }
            answers.push(match extension {
                Extension::Lost => ExtendAnswer::Lost,
                Extension::Kept => ExtendAnswer::Kept,
                Extension::CancelAsked => {
                    if let Some(held) = table.leases.get_mut(lease) {
                        held.is_cancelled = true;
                    }
                    ExtendAnswer::Cancel
                }
            });
        }
        self.learn(&unknown).await?;
        for lease in unknown {
            self.table().extended(lease, ttl, when);
        }
        let about = |(lease, answer)| AboutLease { lease, answer };
        Ok(texts.into_iter().zip(answers).map(about).collect())
    }

    async fn settle(
        &self,
        settles: Vec<WorkerSettle>,
        turn: Option<UpdateTurn>,
    ) -> Result<Vec<AboutLease<SettleAnswer>>, StoreError> {
        let mut answers: Vec<Option<SettleAnswer>> = vec![None; settles.len()];
        let mut texts = Vec::with_capacity(settles.len());
        let mut named = Vec::with_capacity(settles.len());
        for (at, WorkerSettle { lease, end }) in settles.into_iter().enumerate() {
            let end = match (self.callback_of(&lease), end) {
                (Some(callback), Ok(end)) => {
                    answers[at] = Some(self.settle_by_callback(&lease, &callback, end).await?);
                    texts.push(lease);
                    continue;
                }
                (_, end) => end,
            };
            match (self.tokens.read(&lease), end) {
                (None, _) => answers[at] = Some(SettleAnswer::Invalid(NO_LEASE.to_owned())),
                (Some(_), Err(why)) => answers[at] = Some(SettleAnswer::Invalid(why)),
                (Some(lease), Ok(end)) => named.push((at, lease, end)),
            }
            texts.push(lease);
        }
        let (mut known, unknown): (Vec<_>, Vec<_>) = {
            let table = self.table();
            named.into_iter().partition(|(_, lease, _)| table.leases.get(*lease).is_some())
        };
        // The process was restarted, the attempt has ended, or its lease was lost. This is looked up before a lease is marked
        // as being settled, so that a failure leaves none of them marked.
        for (at, lease, end) in unknown {
            match self.store.get(lease.job).await?.0 {
                None => answers[at] = Some(SettleAnswer::Gone),
                Some(job) => {
                    match RemoteLease::of(&job, lease, self.default_timeout, self.read_clocks()) {
                        Some(held) => {
                            self.table().take(held);
                            self.deadline_changed.notify_one();
                            known.push((at, lease, end));
                        }
                        None => answers[at] = Some(past(&job, lease, reported(&end))),
                    }
                }
            }
        }
        let (mut batch, mut stale) = (Vec::with_capacity(known.len()), Vec::new());
        let mut places = Vec::with_capacity(known.len());
        {
            let (mut table, when) = (self.table(), self.read_clocks());
            let mut last = None;
            for (at, lease, end) in known {
                let Some(held) = table.leases.get_mut(lease) else {
                    stale.push((at, lease, reported(&end))); // it has ended meanwhile
                    continue;
                };
                held.is_settling = true;
                places.push((at, lease, reported(&end)));
                batch.push(Settlement { lease, verdict: verdict_on(end, held) });
                if last.as_ref() != Some(&held.worker) {
                    let worker = held.worker.clone();
                    table.see(&worker, when);
                    last = Some(worker);
                }
            }
        }
        if !batch.is_empty() {
            let stored = ask_store(self.store.settle(batch), turn).await;
            let mut table = self.table();
            let stored = match stored {
                Ok(stored) => stored,
                Err(error) => {
                    places.iter().for_each(|(_, lease, _)| table.leases.settling_failed(*lease));
                    return Err(error);
                }
            };
            for ((at, lease, end), answer) in places.into_iter().zip(stored) {
                table.end(lease);
                match answer {
                    Ok(status) => {
                        self.counters.ended(end, 1);
                        answers[at] = Some(SettleAnswer::Settled(status.state));
                    }
                    Err(SettleError::Stale) => stale.push((at, lease, end)),
                }
            }
        }
        for (at, lease, end) in stale {
            let job = self.store.get(lease.job).await?.0;
            answers[at] = Some(job.map_or(SettleAnswer::Gone, |job| past(&job, lease, end)));
        }
        let about = |(lease, answer): (String, Option<SettleAnswer>)| {
            let answer = answer.unwrap_or(SettleAnswer::Stale);
            if answer == SettleAnswer::Stale {
                self.counters.stale();
            }
            AboutLease { lease, answer }
        };
        Ok(texts.into_iter().zip(answers).map(about).collect())
    }

    /// The attempt of this process that a text is the callback of.
    fn callback_of(&self, text: &str) -> Option<Arc<Callback>> {
        if self.callbacks.is_empty() {
            return None;
        }
        self.callbacks.get(self.tokens.read(text)?)
    }

    /// Ends an attempt of this process, and waits until that is stored. A repetition waits for the same end.
    async fn settle_by_callback(
        &self,
        text: &str,
        callback: &Callback,
        end: AttemptEnding,
    ) -> Result<SettleAnswer, StoreError> {
        let Some(lease) = self.tokens.read(text) else { return Ok(SettleAnswer::Stale) };
        let mut live = self.live.subscribe();
        let end_reported = reported(&end);
        callback.report(match end {
            AttemptEnding::Reached(outcome) => outcome,
            AttemptEnding::Returned => Outcome::Snooze { delay: Duration::ZERO },
        });
        loop {
            if callback.is_closed() {
                return Ok(SettleAnswer::Stale); // the attempt ends in another way
            }
            let job = self.store.get(lease.job).await?.0;
            let Some(job) = job else { return Ok(SettleAnswer::Gone) };
            let has_ended = job.lease().is_none_or(|(token, _)| token != lease.token);
            if has_ended && !callback.is_closed() {
                return Ok(past(&job, lease, end_reported));
            }
            let is_about_it = |event: &Event| matches!(&event.fact, Fact::Job { id, state, .. } if *id == lease.job && *state != State::Running);
            if has_ended {
                continue; // it was closed meanwhile
            }
            loop {
                match live.recv().await {
                    Ok(batch) if batch.events.iter().any(is_about_it) => break,
                    Ok(_) => {}
                    Err(RecvError::Lagged(_)) => break,
                    Err(RecvError::Closed) => return Err(StoreError::Closed),
                }
            }
        }
    }
}

/// The error for a text that is not a lease.
const NO_LEASE: &str = "this is not a lease of this server";

/// How a reported end is counted.
fn reported(end: &AttemptEnding) -> RemoteEnd {
    match end {
        AttemptEnding::Returned => RemoteEnd::Returned,
        AttemptEnding::Reached(Outcome::Done(_)) => RemoteEnd::Done,
        AttemptEnding::Reached(Outcome::Retry { .. }) => RemoteEnd::Retry,
        AttemptEnding::Reached(Outcome::Snooze { .. }) => RemoteEnd::Snooze,
        AttemptEnding::Reached(Outcome::Discard { .. }) => RemoteEnd::Discard,
        AttemptEnding::Reached(Outcome::Cancel) => RemoteEnd::Cancelled,
    }
}

/// The verdict on the end of an attempt.
fn verdict_on(end: AttemptEnding, held: &RemoteLease) -> Verdict {
    let retry = Retry { attempt: held.attempt, backoff: held.backoff, chance: fastrand::f64() };
    match end {
        AttemptEnding::Reached(outcome) => verdict(Ending::Returned(outcome), Cause::Itself, retry),
        AttemptEnding::Returned => Verdict::Interrupted { why: Interruption::Returned },
    }
}

/// The verdict on an attempt that has run for too long.
pub fn verdict_on_timeout(held: &RemoteLease) -> Verdict {
    let retry = Retry { attempt: held.attempt, backoff: held.backoff, chance: fastrand::f64() };
    verdict(Ending::Aborted, Cause::Timeout(held.timeout), retry)
}

/// The answer to a report about an attempt that has ended: the first answer again if this report may have ended it.
fn past(job: &Job, lease: LeaseRef, reported: RemoteEnd) -> SettleAnswer {
    let mut later = job.history.iter().skip_while(|moment| moment.seq != lease.token).skip(1);
    let end = later.find(|moment| moment.state != State::Running).map(|moment| &moment.change);
    if !end.is_some_and(|end| can_lead_to(reported, end)) {
        return SettleAnswer::Stale; // somebody else has ended it
    }
    job.settled_by(lease.token).map_or(SettleAnswer::Stale, SettleAnswer::Settled)
}
