//! What the worker has to tell the server: settles, which are kept until the server has confirmed them, and notes.

use std::collections::VecDeque;
use std::sync::Arc;

use super::leased_attempt::{LeasedAttempt, SentNotes};
use super::messages::{LeaseAnswer, MAX_ENTRIES, SettleOutcome, UpdateParts, settle_text};
use crate::client::handler::CancelCause;

/// The length of an update from which on nothing is added to it. A server that accepts the largest result accepts this
/// much, too.
const FULL_BYTES: usize = 256 * 1_024;

/// The report that an attempt has ended.
struct PendingSettle {
    lease: Box<str>,
    job: Box<str>,
    text: String,
    stage: SettleStage,
    /// Whether the server has refused an update that contained it. It then travels alone, to find the wrong one.
    is_suspect: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum SettleStage {
    /// The outcome of the handler.
    Outcome,
    /// The server has refused the outcome; this reports that as a failure.
    Replacement,
}

/// Whether the updates give credit.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum CreditMode {
    /// Each slot that becomes free is announced.
    Given,
    /// The worker stops, or claims its jobs.
    Withheld,
}

/// What is waiting to be sent.
pub struct Outbox {
    unsent: VecDeque<PendingSettle>,
    noted: VecDeque<Arc<LeasedAttempt>>,
    freed: usize,
    credit: CreditMode,
}

/// What one update contains, apart from the extensions of leases.
#[derive(Default)]
pub struct UpdateBatch {
    settles: Vec<PendingSettle>,
    notes: Vec<SentNotes>,
    /// The credit that the update adds.
    free: usize,
}

impl UpdateBatch {
    /// The parts of the message.
    pub fn parts(&self) -> UpdateParts<'_> {
        UpdateParts {
            notes: self.notes.iter().map(|note| note.text.as_str()).collect(),
            settles: self.settles.iter().map(|settle| settle.text.as_str()).collect(),
            free: self.free,
            ..UpdateParts::default()
        }
    }

    pub fn settle_count(&self) -> usize {
        self.settles.len()
    }
}

impl Outbox {
    pub fn new(credit: CreditMode) -> Outbox {
        Outbox { unsent: VecDeque::new(), noted: VecDeque::new(), freed: 0, credit }
    }

    /// The number of settles that are not on their way.
    pub fn unsent_count(&self) -> usize {
        self.unsent.len()
    }

    /// The leases of settles that are not on their way.
    pub fn unsent_leases(&self) -> impl Iterator<Item = &str> {
        self.unsent.iter().map(|settle| &*settle.lease)
    }

    /// Adds the report of an ended attempt.
    pub fn settle(&mut self, attempt: &LeasedAttempt, end: &SettleOutcome) {
        self.settle_lease(&attempt.lease, &attempt.id, end);
    }

    /// Adds the report about a job that was not started.
    pub fn settle_lease(&mut self, lease: &str, job: &str, end: &SettleOutcome) {
        self.unsent.push_back(PendingSettle {
            lease: lease.into(),
            job: job.into(),
            text: settle_text(lease, end),
            stage: SettleStage::Outcome,
            is_suspect: false,
        });
    }

    /// Notices that an attempt has notes.
    pub fn note(&mut self, attempt: Arc<LeasedAttempt>) {
        self.noted.push_back(attempt);
    }

    /// A slot of the worker has become free.
    pub fn add_free_slot(&mut self) {
        match self.credit {
            CreditMode::Given => self.freed += 1,
            CreditMode::Withheld => {}
        }
    }

    /// From now on updates give no credit.
    pub fn withhold_credit(&mut self) {
        self.credit = CreditMode::Withheld;
        self.freed = 0;
    }

    /// Forgets the free slots, because the server is told how many there are.
    pub fn reset_free_slots(&mut self) {
        self.freed = 0;
    }

    /// Whether notes are all that there is to tell.
    pub fn has_only_notes(&self) -> bool {
        self.unsent.is_empty() && self.freed == 0 && !self.noted.is_empty()
    }

    /// Takes what the next update contains; `None` if there is nothing to tell.
    pub fn take(&mut self) -> Option<UpdateBatch> {
        if self.unsent.is_empty() && self.noted.is_empty() && self.freed == 0 {
            return None;
        }
        let mut batch =
            UpdateBatch { free: std::mem::take(&mut self.freed), ..UpdateBatch::default() };
        if self.unsent.front().is_some_and(|settle| settle.is_suspect) {
            batch.settles.extend(self.unsent.pop_front());
            return Some(batch);
        }
        let mut bytes = 0;
        // The server applies notes before settles. The last lines of an attempt must not follow its settle.
        while batch.notes.len() < MAX_ENTRIES && bytes < FULL_BYTES {
            let Some(attempt) = self.noted.pop_front() else { break };
            if attempt.cause() == Some(CancelCause::Lost) {
                continue;
            }
            if let Some(notes) = attempt.take_notes() {
                bytes += notes.text.len();
                batch.notes.push(notes);
            }
        }
        let most = if self.noted.is_empty() { MAX_ENTRIES } else { 0 };
        batch.settles.reserve(self.unsent.len().min(most));
        while batch.settles.len() < most && bytes < FULL_BYTES {
            if self.unsent.front().is_none_or(|settle| settle.is_suspect) {
                break;
            }
            let Some(settle) = self.unsent.pop_front() else { break };
            bytes += settle.text.len();
            batch.settles.push(settle);
        }
        let is_empty = batch.settles.is_empty() && batch.notes.is_empty() && batch.free == 0;
        (!is_empty).then_some(batch)
    }

    /// Puts a batch back that the server may not have received.
    pub fn put_back(&mut self, batch: UpdateBatch) {
        for settle in batch.settles.into_iter().rev() {
            self.unsent.push_front(settle);
        }
        batch.notes.into_iter().for_each(SentNotes::put_back);
    }

    /// Reads the server's answers to the settles of a batch, which are in its order.
    pub fn confirm(&mut self, batch: UpdateBatch, answers: &[LeaseAnswer<'_>]) {
        for (n, settle) in batch.settles.into_iter().enumerate() {
            let same = |answer: &&LeaseAnswer<'_>| *answer.lease == *settle.lease;
            let answer = answers.get(n).filter(same).or_else(|| answers.iter().find(same));
            let status = answer.map_or("not in the answer", |answer| &answer.status);
            match status {
                "settled" => {
                    tracing::debug!(job.id = %settle.job, "the server has stored the end of the job");
                }
                "invalid" => {
                    let detail = answer.and_then(|answer| answer.detail.as_deref());
                    let detail = detail.unwrap_or("invalid").to_owned();
                    self.replace(settle, &detail);
                }
                status => {
                    let job = &settle.job;
                    tracing::warn!(
                        job.id = %job,
                        "the outcome of the job was not stored: its lease is {status}"
                    );
                }
            }
        }
    }

    /// Handles a batch that the server refuses because of something in it. A settle that was alone is replaced; several
    /// are sent one by one, and notes are dropped. The server has not counted the credit of the batch.
    pub fn refuse(&mut self, batch: UpdateBatch, detail: &str) {
        match self.credit {
            CreditMode::Given => self.freed += batch.free,
            CreditMode::Withheld => {}
        }
        let is_probe = batch.settles.len() == 1 && batch.notes.is_empty();
        for settle in batch.settles.into_iter().rev() {
            if is_probe {
                self.replace(settle, detail);
            } else {
                self.unsent.push_front(PendingSettle { is_suspect: true, ..settle });
            }
        }
    }

    /// Replaces the settles that had a message for themselves because of their length.
    pub fn refuse_long(&mut self, detail: &str) {
        let (long, short) = std::mem::take(&mut self.unsent)
            .into_iter()
            .partition(|settle| settle.text.len() >= FULL_BYTES);
        self.unsent = short;
        let long: VecDeque<PendingSettle> = long;
        for settle in long {
            self.replace(settle, detail);
        }
    }

    /// The job would run until its lease expires, and then again, with the same end. So it fails instead.
    fn replace(&mut self, settle: PendingSettle, detail: &str) {
        tracing::error!(job.id = %settle.job, "the server refused the outcome of the job: {detail}");
        match settle.stage {
            SettleStage::Replacement => {}
            SettleStage::Outcome => {
                let error = format!("the server refused the outcome of this attempt: {detail}");
                let end = SettleOutcome::Retry { error, after: None };
                let text = settle_text(&settle.lease, &end);
                let stage = SettleStage::Replacement;
                self.unsent.push_back(PendingSettle { text, stage, ..settle });
            }
        }
    }
}
