//! Checks a log without the server's code: numbers without gaps, one start and one end for each attempt, valid
//! transitions of each job, and records that agree with the log.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::http::Rows;

/// The fields of an event in the API that the audit uses.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Event {
    pub seq: u64,
    pub at: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub job: Option<EventJob>,
    pub why: Option<String>,
    /// The due time of a `schedule.fired`; `job_id` is the job that it created.
    pub due: Option<String>,
    pub job_id: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct EventJob {
    pub id: String,
    pub state: String,
    pub attempt: u16,
}

impl Event {
    pub fn is_of(&self, id: &str) -> bool {
        self.job.as_ref().is_some_and(|job| job.id == id)
    }
}

/// A job, folded from its events.
#[derive(Debug, Clone)]
pub struct Folded {
    pub state: String,
    /// Attempts charged.
    pub attempt: u16,
    /// The token of the lease: the `seq` of the `job.started` of the running attempt.
    lease: Option<u64>,
    pub completed: u32,
    /// For each event, its number and the state and charged attempts after it.
    trail: Vec<(u64, String, u16)>,
}

impl Folded {
    /// Whether the job has ended.
    pub fn is_final(&self) -> bool {
        matches!(&*self.state, "completed" | "discarded" | "cancelled")
    }

    /// The number of the job's last event.
    fn seq(&self) -> u64 {
        self.trail.last().map_or(0, |(seq, ..)| *seq)
    }
}

/// Which jobs a crash gives back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Rescued {
    /// All that were running, because only one server runs jobs.
    #[default]
    All,
    /// Those of the node that has crashed.
    OfOneNode,
}

/// All jobs, folded event by event. Panics at the first event that is impossible.
#[derive(Debug, Default)]
pub struct Fold {
    pub jobs: BTreeMap<String, Folded>,
    pub seq: u64,
    /// Jobs that were deleted.
    pub deleted: BTreeSet<String>,
    by_crash: Rescued,
    running: BTreeSet<String>,
    /// Jobs that must still be rescued in the current sequence of rescues after a crash.
    to_rescue: BTreeSet<String>,
    /// The number of rescues after crashes.
    pub rescued: usize,
    /// Due times for which the schedule created a job.
    fired: BTreeSet<String>,
    /// The jobs that schedules created.
    pub scheduled: BTreeSet<String>,
    /// The highest number of concurrent attempts.
    pub most_running: usize,
}

impl Fold {
    pub fn of(events: &[Event]) -> Fold {
        let mut fold = Fold::default();
        fold.add_all(events);
        fold
    }

    /// The fold of a log to which several nodes have written.
    pub fn of_nodes(events: &[Event]) -> Fold {
        let mut fold = Fold { by_crash: Rescued::OfOneNode, ..Fold::default() };
        fold.add_all(events);
        fold
    }

    pub fn add_all(&mut self, events: &[Event]) {
        for event in events {
            self.add(event);
        }
    }

    fn add(&mut self, event: &Event) {
        assert_eq!(event.seq, self.seq + 1, "the log is not dense: {event:?}");
        self.seq = event.seq;
        if event.kind == "schedule.fired" {
            let (due, id) = (event.due.clone().unwrap(), event.job_id.clone().unwrap());
            assert!(self.fired.insert(due), "two jobs for one due time: {event:?}");
            let made = self.jobs.get(&id).map(|job| job.trail[0].0);
            assert_eq!(made, Some(event.seq - 1), "its job was not created with it: {event:?}");
            self.scheduled.insert(id);
        }
        let Some(now) = &event.job else { return };
        self.check_rescue(event, &now.id);
        if event.kind == "job.enqueued" {
            assert!(matches!(&*now.state, "available" | "scheduled"), "{event:?}");
            let job = Folded {
                state: now.state.clone(),
                attempt: 0,
                lease: None,
                completed: 0,
                trail: vec![(event.seq, now.state.clone(), 0)],
            };
            let double = self.jobs.insert(now.id.clone(), job);
            assert!(double.is_none(), "enqueued twice: {event:?}");
            return;
        }
        if event.kind == "job.deleted" {
            let job = self.jobs.remove(&now.id);
            let is_possible = job.is_some_and(|job| job.state != "running");
            assert!(is_possible, "it cannot be deleted: {event:?}");
            self.deleted.insert(now.id.clone());
            return;
        }
        let job = self.jobs.get_mut(&now.id);
        let job = job.unwrap_or_else(|| panic!("the job was never enqueued: {event:?}"));
        let was = std::mem::replace(&mut job.state, now.state.clone());
        let possible = match &*event.kind {
            "job.available" => was == "scheduled" || was == "retryable",
            "job.started" => was == "available" && job.lease.is_none(),
            "job.completed"
            | "job.retry_scheduled"
            | "job.discarded"
            | "job.interrupted"
            | "job.rescued"
            | "job.snoozed" => was == "running" && job.lease.is_some(),
            "job.progressed" | "job.logged" | "job.cancel_asked" => was == "running",
            "job.cancelled" => {
                matches!(&*was, "scheduled" | "available" | "retryable" | "running")
            }
            "job.retried" => was != "available" && was != "running",
            _ => false,
        };
        let after = match &*event.kind {
            "job.available" | "job.interrupted" | "job.rescued" | "job.retried" => "available",
            "job.started" | "job.progressed" | "job.logged" | "job.cancel_asked" => "running",
            "job.completed" => "completed",
            "job.retry_scheduled" => "retryable",
            "job.discarded" => "discarded",
            "job.snoozed" => "scheduled",
            _ => "cancelled",
        };
        assert!(possible && now.state == after, "a {was} job cannot have {event:?}");
        let charged = match &*event.kind {
            "job.started" => {
                job.lease = Some(event.seq);
                self.running.insert(now.id.clone());
                job.attempt += 1;
                job.attempt
            }
            // The event has the number of the attempt that ended, which is not charged.
            "job.interrupted" | "job.snoozed" => {
                job.attempt -= 1;
                job.attempt + 1
            }
            _ => job.attempt,
        };
        assert_eq!(charged, now.attempt, "attempts of {event:?}");
        job.completed += u32::from(event.kind == "job.completed");
        if now.state != "running" {
            job.lease = None;
            self.running.remove(&now.id);
        }
        job.trail.push((event.seq, now.state.clone(), job.attempt));
        self.most_running = self.most_running.max(self.running.len());
    }

    /// Asserts that the first events after a crash rescue every job that was running, and no other.
    fn check_rescue(&mut self, event: &Event, id: &str) {
        let by_crash = event.kind == "job.rescued" && event.why.as_deref() == Some("crash");
        if by_crash {
            self.rescued += 1;
            if self.by_crash == Rescued::OfOneNode {
                return;
            }
            if self.to_rescue.is_empty() {
                self.to_rescue = self.running.clone();
            }
            assert!(self.to_rescue.remove(id), "rescued without having run: {event:?}");
            return;
        }
        // A job with a cancellation request, or without attempts left, ends instead.
        if matches!(&*event.kind, "job.cancelled" | "job.discarded") {
            self.to_rescue.remove(id);
        }
        assert!(self.to_rescue.is_empty(), "not rescued before {event:?}: {:?}", self.to_rescue);
    }

    /// Asserts that each record agrees with the log as of its read, and that no record is missing.
    pub fn assert_agrees(&self, rows: &Rows) {
        self.assert_told_by(rows);
        let missing = self.missing(rows);
        assert!(missing.is_empty(), "not listed: {missing:?}");
    }

    /// Like `assert_agrees`, but allows pruned jobs to be missing: final ones after which `keep` jobs reached the same
    /// state. Returns the number of missing jobs.
    pub fn assert_agrees_but_for_pruned(&self, rows: &Rows, keep: usize) -> usize {
        self.assert_told_by(rows);
        let missing = self.missing(rows);
        for (id, job) in &missing {
            let same = |other: &&Folded| other.state == job.state && other.is_final();
            // Count to the end of the log: a job may be pruned during the read, while other jobs keep ending.
            let later = |other: &&Folded| other.seq() > job.seq();
            let since = self.jobs.values().filter(same).filter(later).count();
            assert!(job.is_final(), "not listed: {id} {job:?}");
            assert!(since >= keep, "pruned with {since} ends since: {id} {job:?}");
        }
        missing.len()
    }

    /// A record is never older than the cursor of its page. It may be newer: a job that moves to other chunks while the
    /// page is read is read again.
    fn assert_told_by(&self, rows: &Rows) {
        for (id, (row, read_at)) in rows {
            let job = self.jobs.get(id).unwrap_or_else(|| panic!("not in the log: {row:?}"));
            let at = row.seq.max(*read_at);
            let by_then = job.trail.iter().rev().find(|(seq, ..)| *seq <= at);
            let (seq, state, attempt) = by_then.unwrap_or_else(|| panic!("too early: {row:?}"));
            assert_eq!(
                (row.seq, &row.state, row.attempt),
                (*seq, state, *attempt),
                "record and log disagree on {row:?} read at {read_at}"
            );
        }
    }

    /// Jobs that existed before the list was read, and are not in it.
    fn missing(&self, rows: &Rows) -> Vec<(&String, &Folded)> {
        let first_page_at = rows.values().map(|(_, read_at)| *read_at).min().unwrap_or(0);
        let there = |job: &Folded| job.trail[0].0 <= first_page_at;
        self.jobs.iter().filter(|(id, job)| there(job) && !rows.contains_key(*id)).collect()
    }
}
