//! A sample of the attempts that run and of those that ended lately, of all workers of the store. Whether an attempt is in it
//! depends on events and on the id of its job only, so that all nodes have the same sample.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::job::{Change, Event, Fact, JobId, Kind, Labels, QueueName, Time, WorkerName};

/// The most attempts of one queue and kind. With more, the sample is made smaller.
const MAX_OF_GROUP: usize = 512;
/// The most pairs of a queue and a kind. A new one replaces the one in which nothing has happened for longest.
const MAX_GROUPS: usize = 128;
/// How often old attempts are removed from a group, in milliseconds.
const CLEANING_MS: i64 = 10_000;
/// A group with fewer attempts gets a larger sample.
const FEW: usize = MAX_OF_GROUP / 4;

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// The job is completed.
    Completed,
    /// The attempt failed, and another one follows.
    Failed,
    /// The attempt failed, and no other one follows.
    Discarded,
    /// The job was cancelled while it ran.
    Cancelled,
    /// The handler asked to be called again later.
    Snoozed,
    /// The server or the worker stopped, or the lease was lost.
    Interrupted,
}

impl AttemptOutcome {
    /// All outcomes, the most frequent ones first.
    pub const ALL: [AttemptOutcome; 6] = [
        AttemptOutcome::Completed,
        AttemptOutcome::Failed,
        AttemptOutcome::Discarded,
        AttemptOutcome::Cancelled,
        AttemptOutcome::Snoozed,
        AttemptOutcome::Interrupted,
    ];

    /// Returns the outcome in one word.
    pub fn as_str(self) -> &'static str {
        match self {
            AttemptOutcome::Completed => "completed",
            AttemptOutcome::Failed => "failed",
            AttemptOutcome::Discarded => "discarded",
            AttemptOutcome::Cancelled => "cancelled",
            AttemptOutcome::Snoozed => "snoozed",
            AttemptOutcome::Interrupted => "interrupted",
        }
    }
}

/// An attempt in the sample.
#[derive(Debug, Clone, PartialEq)]
pub struct SampledAttempt {
    /// The job.
    pub job: JobId,
    /// Its queue, kind and tags.
    pub labels: Arc<Labels>,
    /// The number of the attempt.
    pub attempt: u16,
    /// The worker.
    pub worker: WorkerName,
    /// When it started.
    pub started_at: Time,
    /// When and how it ended; `None` while it runs.
    pub end: Option<(Time, AttemptOutcome)>,
}

/// What is kept of the attempts of a queue and kind.
struct AttemptGroup {
    attempts: Vec<SampledAttempt>,
    /// An attempt is in the sample when so many of the last bits of the id of its job are zero.
    zeros: u32,
    changed_at: Time,
    cleaned_at: Time,
}

/// Running attempts and those that ended lately.
pub struct AttemptSample {
    /// How long attempts are kept after their end.
    kept: Duration,
    groups: HashMap<(QueueName, Kind), AttemptGroup>,
}

/// Whether an attempt is in a sample for which so many of the last bits of the id of its job must be zero. The bits are random.
pub fn is_sampled(job: JobId, zeros: u32) -> bool {
    (job.as_u128() as u32).trailing_zeros() >= zeros
}

impl AttemptSample {
    /// A sample that keeps attempts for this long after their end.
    pub fn new(kept: Duration) -> Self {
        AttemptSample { kept, groups: HashMap::new() }
    }

    /// How long attempts are kept after their end.
    pub fn kept(&self) -> Duration {
        self.kept
    }

    /// Adds what an event says about an attempt.
    pub fn add(&mut self, event: &Event) {
        let Fact::Job { id, labels, attempt, change, .. } = &event.fact else { return };
        let outcome = match change {
            Change::Started { worker } => {
                let started = SampledAttempt {
                    job: *id,
                    labels: labels.clone(),
                    attempt: *attempt,
                    worker: worker.name().clone(),
                    started_at: event.at,
                    end: None,
                };
                return self.start(started);
            }
            Change::Completed { .. } => AttemptOutcome::Completed,
            Change::RetryScheduled { .. } => AttemptOutcome::Failed,
            Change::Discarded { .. } => AttemptOutcome::Discarded,
            Change::Cancelled => AttemptOutcome::Cancelled,
            Change::Snoozed { .. } => AttemptOutcome::Snoozed,
            Change::Interrupted { .. } | Change::Rescued { .. } => AttemptOutcome::Interrupted,
            Change::Deleted => return self.remove(*id, labels),
            Change::Enqueued { .. }
            | Change::BecameAvailable
            | Change::Progressed(_)
            | Change::Logged(_)
            | Change::CancelAsked
            | Change::Retried
            | Change::Moved { .. }
            | Change::Reprioritised { .. } => return,
        };
        let Some(group) = self.group_with(*id, labels) else { return };
        let running = group.attempts.iter_mut().rev().find(|it| it.job == *id && it.end.is_none());
        if let Some(attempt) = running {
            attempt.end = Some((event.at, outcome));
            group.changed_at = event.at;
        }
    }

    /// Forgets everything, because the ends of running attempts may have been missed.
    pub fn clear(&mut self) {
        self.groups.clear();
    }

    /// The attempts that run or ended after `from`, by their start, each with how many attempts it stands for.
    pub fn since(&self, from: Time) -> Vec<(SampledAttempt, u32)> {
        let mut found = Vec::new();
        for group in self.groups.values() {
            let recent = group.attempts.iter().filter(|it| it.end.is_none_or(|(at, _)| at >= from));
            found.extend(recent.map(|attempt| (attempt.clone(), 1 << group.zeros)));
        }
        found.sort_unstable_by_key(|(it, _)| (it.started_at, it.job, it.attempt));
        found
    }

    fn start(&mut self, attempt: SampledAttempt) {
        let (now, old) = (attempt.started_at, attempt.started_at.before(self.kept));
        let key = (attempt.labels.queue.clone(), attempt.labels.kind.clone());
        if self.groups.len() >= MAX_GROUPS && !self.groups.contains_key(&key) {
            let oldest = self.groups.iter().min_by_key(|(key, group)| (group.changed_at, *key));
            let oldest = oldest.map(|(key, _)| key.clone());
            self.groups.retain(|key, _| Some(key) != oldest.as_ref());
        }
        let group = self.groups.entry(key).or_insert_with(|| AttemptGroup::new(now));
        group.changed_at = now;
        group.clean(now, old);
        if is_sampled(attempt.job, group.zeros) {
            group.attempts.push(attempt);
            group.shrink(old);
        }
    }

    fn remove(&mut self, job: JobId, labels: &Labels) {
        if let Some(group) = self.group_with(job, labels) {
            group.attempts.retain(|attempt| attempt.job != job);
        }
    }

    /// The group of these labels, if its sample can have the job.
    fn group_with(&mut self, job: JobId, labels: &Labels) -> Option<&mut AttemptGroup> {
        let group = self.groups.get_mut(&(labels.queue.clone(), labels.kind.clone()))?;
        is_sampled(job, group.zeros).then_some(group)
    }
}

impl AttemptGroup {
    fn new(now: Time) -> AttemptGroup {
        AttemptGroup { attempts: Vec::new(), zeros: 0, changed_at: now, cleaned_at: now }
    }

    /// From time to time, removes old attempts and makes the sample larger if that leaves few.
    fn clean(&mut self, now: Time, old: Time) {
        if now.millis().saturating_sub(self.cleaned_at.millis()) < CLEANING_MS {
            return;
        }
        self.cleaned_at = now;
        self.forget_old(old);
        if self.attempts.len() < FEW {
            self.zeros = self.zeros.saturating_sub(1);
        }
    }

    /// Makes room: removes old attempts, and if that does not help, makes the sample smaller.
    fn shrink(&mut self, old: Time) {
        if self.attempts.len() > MAX_OF_GROUP {
            self.forget_old(old);
        }
        while self.attempts.len() > MAX_OF_GROUP && self.zeros < u32::BITS {
            self.zeros += 1;
            let zeros = self.zeros;
            self.attempts.retain(|attempt| is_sampled(attempt.job, zeros));
        }
    }

    fn forget_old(&mut self, old: Time) {
        self.attempts.retain(|it| it.end.is_none_or(|(at, _)| at >= old));
    }
}

#[cfg(test)]
mod tests;
