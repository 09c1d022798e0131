//! Schedules: named cron entries that enqueue a job each time they are due. The rules are pure; a store asks them
//! what to do, does it, and stores the result.

pub mod cron;

use std::fmt;
use std::hash::Hasher;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::job::{
    Actor, Cron, JobId, Labels, NewJob, OmittedOptions, ScheduleName, Skip, Spec, StableHasher,
    Start, Tag, Time,
};

/// The largest step back of the clock after which a schedule does not run again for the same times, as in Vixie cron.
const SMALL_CORRECTION: Duration = Duration::from_secs(3 * 60 * 60);

/// The specification of a schedule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduleSpec {
    /// The times at which it is due.
    pub cron: Cron,
    /// The queue, kind and tags of its jobs.
    pub labels: Arc<Labels>,
    /// The payload and options of its jobs, which have no idempotency key.
    pub spec: Arc<Spec>,
    /// What happens when it is due while its previous job is not finished.
    pub overlap: Overlap,
    /// The lateness in milliseconds after which a run is skipped. With `None`, one run makes up for all runs that were
    /// missed while no server was running. The lateness of each missed time is considered on its own.
    pub max_late_ms: Option<u64>,
    /// Who declared the schedule.
    pub origin: Origin,
}

/// What happens when a schedule is due while its previous job is not finished.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// A second job is enqueued.
    #[default]
    Allow,
    /// The run is skipped.
    Skip,
}

/// Who declared a schedule, and may change it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// It was created through the API or the pages.
    #[default]
    Api,
    /// It was declared in the configuration, or by the program that embeds the server.
    Config,
}

/// A schedule as it is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// The name of the schedule.
    pub name: ScheduleName,
    /// The specification.
    pub spec: ScheduleSpec,
    /// Whether it is paused, so that it is never due.
    pub paused: bool,
    /// The time at which the specification was last set.
    pub set_at: Time,
    /// The time at which it is due next, even while it is paused; `None` when there is no such time.
    pub next_at: Option<Time>,
    /// The last job that it enqueued.
    pub last: Option<Fired>,
    /// The number of runs skipped since that job.
    pub skipped: u64,
}

/// A job that a schedule enqueued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fired {
    /// The scheduled time that it is for; `None` when somebody requested the run.
    pub due: Option<Time>,
    /// The time at which it was enqueued.
    pub at: Time,
    /// The id of the job.
    pub job: JobId,
}

/// Why a schedule is not due at its times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScheduleProblem {
    /// This machine does not know its time zone, which it knew when the schedule was created, or another machine did.
    UnknownZone(Box<str>),
    /// Its pattern matches no time. Older versions accepted such patterns.
    NeverDue,
    /// Its pattern cannot be parsed, for this reason. An older or a newer version accepted it.
    InvalidPattern(String),
}

impl ScheduleProblem {
    /// Returns the public name.
    pub fn code(&self) -> &'static str {
        match self {
            ScheduleProblem::UnknownZone(_) => "unknown_zone",
            ScheduleProblem::NeverDue => "never_due",
            ScheduleProblem::InvalidPattern(_) => "invalid_pattern",
        }
    }
}

impl fmt::Display for ScheduleProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ScheduleProblem::UnknownZone(zone) => write!(
                f,
                "this machine does not know the time zone {zone:?} (is its time zone database, tzdata, installed?); \
                 the schedule does not run until it does"
            ),
            ScheduleProblem::NeverDue => {
                f.write_str("the pattern matches no time in the next 40 years")
            }
            ScheduleProblem::InvalidPattern(why) => {
                write!(f, "the pattern is invalid, so that the schedule does not run: {why}")
            }
        }
    }
}

/// What to do with a schedule that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DueAction {
    /// Enqueue a job for this time, the first missed one that is not too late.
    Run(Time),
    /// Skip the run for this reason.
    Skip(Skip),
}

impl Schedule {
    /// Creates a schedule.
    pub fn new(name: ScheduleName, spec: ScheduleSpec, now: Time) -> Schedule {
        let next_at = spec.cron.next_after(now);
        Schedule { name, spec, paused: false, set_at: now, next_at, last: None, skipped: 0 }
    }

    /// Replaces the specification. A new cron expression is counted from `now`; the same one keeps the next time.
    pub fn set(&mut self, spec: ScheduleSpec, now: Time) {
        if self.spec.cron != spec.cron {
            self.next_at = spec.cron.next_after(now);
        }
        (self.spec, self.set_at) = (spec, now);
    }

    /// Pauses the schedule.
    pub fn pause(&mut self) {
        self.paused = true;
    }

    /// Resumes the schedule. Runs that were missed while it was paused are not made up for.
    pub fn resume(&mut self, now: Time) {
        self.paused = false;
        self.next_at = self.spec.cron.next_after(now);
    }

    /// The time at which the store must look at the schedule next.
    pub fn timer(&self) -> Option<Time> {
        self.next_at.filter(|_| !self.paused)
    }

    /// Why it is not due at its times, if something is wrong with them.
    pub fn problem(&self) -> Option<ScheduleProblem> {
        if !self.spec.cron.is_zone_known() {
            Some(ScheduleProblem::UnknownZone(self.spec.cron.zone().into()))
        } else if self.next_at.is_some() {
            None
        } else {
            let never_due = |()| ScheduleProblem::NeverDue;
            Some(
                self.spec
                    .cron
                    .check_pattern()
                    .map_or_else(ScheduleProblem::InvalidPattern, never_due),
            )
        }
    }

    /// Decides what to do at `now` for the schedule that was due at `due`. `last_is_over` says whether its last job has
    /// finished or was deleted. However many times have passed, there is one run.
    pub fn due(&self, due: Time, now: Time, last_is_over: bool) -> DueAction {
        match (self.in_time(due, now), self.spec.overlap) {
            (None, Overlap::Allow | Overlap::Skip) => DueAction::Skip(Skip::Late),
            (Some(_), Overlap::Skip) if !last_is_over => DueAction::Skip(Skip::Overlap),
            (Some(due), Overlap::Allow | Overlap::Skip) => DueAction::Run(due),
        }
    }

    /// The first of its times between `due` and `now` that is not too late.
    fn in_time(&self, due: Time, now: Time) -> Option<Time> {
        let Some(most) = self.spec.max_late_ms else { return Some(due) };
        if now.since(due) <= Duration::from_millis(most) {
            return Some(due);
        }
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let too_late = Time::from_millis(now.millis().saturating_sub(most).saturating_sub(1));
        self.spec.cron.next_after(too_late).filter(|later| *later <= now)
    }

    /// Computes the next time again when a process starts, when the clock was set, or when the rules of its time zone
    /// may have changed or be known again. A time that was already missed is kept.
    pub fn reconsider(&mut self, now: Time) {
        match self.next_at {
            Some(due) if due <= now => {}
            Some(_) | None => self.next_at = self.next_time(now).or(self.next_at),
        }
    }

    /// The first of its times after `now` for which it has not run yet. If the clock was set back by a lot, it runs again
    /// for times that it has run for: they were not the real ones, and otherwise it would not run until the clock gets
    /// there again. If the clock was set back a little, by less than the schedule's period and three hours, it does not.
    fn next_time(&self, now: Time) -> Option<Time> {
        let cron = &self.spec.cron;
        let next = cron.next_after(now)?;
        let Some(last) = self.last.and_then(|last| last.due).filter(|last| next <= *last) else {
            return Some(next);
        };
        let after_last = cron.next_after(last);
        let period = after_last.map_or(SMALL_CORRECTION, |after| after.since(last));
        if last.since(now) <= period.min(SMALL_CORRECTION) { after_last } else { Some(next) }
    }

    /// The next job. Its id is derived from the name, the time and `seq`, the number of the event that records the job,
    /// so that two stores create the same id.
    pub fn job(&self, now: Time, seq: u64) -> NewJob {
        let mut labels = (*self.spec.labels).clone();
        if let Some(tag) = self.tag().filter(|tag| !labels.tags.contains(tag)) {
            labels.tags = labels.tags.iter().cloned().chain([tag]).collect();
        }
        NewJob {
            id: self.id(now, seq),
            labels: labels.into(),
            spec: self.spec.spec.clone(),
            start: Start::Now,
            by: Some(Actor::Schedule(self.name.clone())),
            omitted: OmittedOptions::default(),
        }
    }

    /// The tag that its jobs carry: `schedule:NAME`.
    pub fn tag(&self) -> Option<Tag> {
        Tag::parse(&format!("schedule:{}", self.name)).ok()
    }

    /// Records that a job was enqueued.
    pub fn fired(&mut self, due: Option<Time>, job: JobId, now: Time) {
        self.last = Some(Fired { due, at: now, job });
        self.skipped = 0;
        if due.is_some() {
            self.next_at = self.spec.cron.next_after(now);
        }
    }

    /// Records that a run was skipped.
    pub fn skipped(&mut self, now: Time) {
        self.skipped += 1;
        self.next_at = self.spec.cron.next_after(now);
    }

    /// A version 7 UUID (RFC 9562, 5.7) of the time `now`, whose other bits are derived from the name and the number.
    fn id(&self, now: Time, seq: u64) -> JobId {
        let part = |salt: u8| {
            let mut hasher = StableHasher::default();
            hasher.write_u8(salt);
            hasher.write(self.name.as_str().as_bytes());
            hasher.write(&seq.to_be_bytes());
            hasher.write(&now.millis().to_be_bytes());
            u128::from(mix(hasher.finish()))
        };
        const VERSION: u128 = 0x7 << 76;
        const VARIANT: u128 = 0x2 << 62;
        let (a, b) = (part(1) & 0xfff, part(2) & ((1 << 62) - 1));
        JobId::from_u128(JobId::first_of(now).as_u128() | VERSION | (a << 64) | VARIANT | b)
    }
}

/// Mixes the bits of a hash, because a part of them becomes an id that must not resemble the next one.
fn mix(hash: u64) -> u64 {
    let mixed = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed ^ (mixed >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{Json, Kind, QueueName, RetryPolicy};

    const MINUTE: i64 = 60_000;

    fn schedule(overlap: Overlap, max_late_ms: Option<u64>) -> Schedule {
        let now = Time::default();
        let labels = Labels {
            queue: QueueName::default(),
            kind: Kind::parse("echo").unwrap(),
            tags: Box::new([Tag::parse("t").unwrap()]),
        };
        let spec = Spec {
            payload: Json::null(),
            priority: 0,
            retry: RetryPolicy::default(),
            timeout_ms: None,
            idempotency_key: None,
        };
        let spec = ScheduleSpec {
            cron: Cron::parse("every 1m", "", now).unwrap(),
            labels: labels.into(),
            spec: spec.into(),
            overlap,
            max_late_ms,
            origin: Origin::Api,
        };
        Schedule::new(ScheduleName::parse("nightly").unwrap(), spec, now)
    }

    #[test]
    fn the_id_of_a_job_comes_from_its_schedule_and_stays_the_same_in_every_version() {
        let id = schedule(Overlap::Allow, None).id(Time::from_millis(1_800_000_000_000), 7);
        assert_eq!(id.to_string(), "01a3185c-5000-7c26-a7e4-30313d6491d1");
    }

    #[test]
    fn what_was_missed_is_one_run_unless_it_is_too_late() {
        let (due, now) = (Time::from_millis(MINUTE), Time::from_millis(10 * MINUTE));
        let mut kind = schedule(Overlap::Allow, None);
        assert_eq!(kind.timer(), Some(due));
        assert_eq!(kind.due(due, now, false), DueAction::Run(due));
        kind.fired(Some(due), kind.job(now, 7).id, now);
        assert_eq!(kind.timer(), Some(Time::from_millis(11 * MINUTE)));
        let patient = schedule(Overlap::Allow, Some(9 * MINUTE as u64));
        assert_eq!(patient.due(due, now, true), DueAction::Run(due));
    }

    #[test]
    fn of_what_was_missed_the_first_that_is_not_too_late_is_run() {
        let due = Time::from_millis(MINUTE);
        let strict = schedule(Overlap::Allow, Some(5_000));
        for (now, expected) in [
            (MINUTE + 5_000, DueAction::Run(due)),
            (MINUTE + 5_001, DueAction::Skip(Skip::Late)),
            (10 * MINUTE - 1, DueAction::Skip(Skip::Late)),
            (10 * MINUTE, DueAction::Run(Time::from_millis(10 * MINUTE))),
            (10 * MINUTE + 5_000, DueAction::Run(Time::from_millis(10 * MINUTE))),
            (10 * MINUTE + 5_001, DueAction::Skip(Skip::Late)),
        ] {
            assert_eq!(strict.due(due, Time::from_millis(now), true), expected, "{now}");
        }
        let kind = schedule(Overlap::Allow, Some(2 * MINUTE as u64));
        let now = Time::from_millis(10 * MINUTE + 1);
        assert_eq!(kind.due(due, now, true), DueAction::Run(Time::from_millis(9 * MINUTE)));
        let any = schedule(Overlap::Allow, Some(u64::MAX));
        assert_eq!(any.due(due, now, true), DueAction::Run(due));
    }

    #[test]
    fn a_new_process_counts_again_but_neither_forgets_nor_repeats_a_time() {
        let at = |minutes: i64| Time::from_millis(minutes * MINUTE);
        let mut kind = schedule(Overlap::Allow, None);
        kind.reconsider(at(5));
        assert_eq!(kind.next_at, Some(at(1)), "it was missed and is made up for");
        kind.fired(kind.next_at, JobId::from_u128(1), at(5));
        kind.reconsider(Time::from_millis(5 * MINUTE + 9));
        assert_eq!(kind.next_at, Some(at(6)), "as it was");
        kind.next_at = None;
        kind.reconsider(at(7));
        assert_eq!(kind.next_at, Some(at(8)), "its zone is known again");
        kind.next_at = Some(at(500));
        kind.reconsider(at(7));
        assert_eq!(kind.next_at, Some(at(8)), "its zone has other rules");
        kind.fired(Some(at(8)), JobId::from_u128(2), at(8));
        kind.reconsider(Time::from_millis(8 * MINUTE - 1));
        assert_eq!(kind.next_at, Some(at(9)), "the clock went back a little");
        kind.spec.cron = Cron::unknown_zone();
        kind.reconsider(at(8));
        assert_eq!(kind.next_at, Some(at(9)), "its zone is not known just now");
    }

    #[test]
    fn a_schedule_that_ran_while_the_clock_was_ahead_runs_again_once_it_is_right() {
        const HOUR: i64 = 60 * MINUTE;
        const DAY: i64 = 24 * HOUR;
        let at = Time::from_millis;
        // The pattern, the time it ran for, the corrected time, and when it must run next.
        for (pattern, ran_for, now, next) in [
            ("every 1m", 1_500 * DAY, DAY, DAY + MINUTE),
            ("0 0 * * *", 1_500 * DAY, DAY + HOUR, 2 * DAY),
            ("0 0 1 1 *", 3_650 * DAY, DAY, 365 * DAY),
            // By more than its period, or by more than three hours.
            ("* * * * *", DAY + 10 * MINUTE, DAY, DAY + MINUTE),
            ("0 * * * *", DAY + 2 * HOUR, DAY, DAY + HOUR),
            ("0 4 * * *", DAY + 4 * HOUR, DAY, DAY + 4 * HOUR),
            // A small correction does not run it twice.
            ("* * * * *", DAY + MINUTE, DAY + MINUTE - 1, DAY + 2 * MINUTE),
            ("0 * * * *", DAY + HOUR, DAY + 5, DAY + 2 * HOUR),
            ("0 3 * * *", DAY + 3 * HOUR, DAY, 2 * DAY + 3 * HOUR),
        ] {
            let mut kind = schedule(Overlap::Allow, None);
            kind.spec.cron = Cron::parse(pattern, "", Time::default()).unwrap();
            kind.fired(Some(at(ran_for)), JobId::from_u128(1), at(ran_for));
            kind.reconsider(at(now));
            assert_eq!(kind.next_at, Some(at(next)), "{pattern} for {ran_for} at {now}");
        }
    }

    #[test]
    fn an_overlap_is_skipped_when_it_was_asked_for() {
        let due = Time::from_millis(MINUTE);
        let mut careful = schedule(Overlap::Skip, None);
        assert_eq!(careful.due(due, due, true), DueAction::Run(due));
        assert_eq!(careful.due(due, due, false), DueAction::Skip(Skip::Overlap));
        careful.skipped(due);
        assert_eq!((careful.skipped, careful.timer()), (1, Some(Time::from_millis(2 * MINUTE))));
    }

    #[test]
    fn a_run_by_hand_leaves_the_next_time_alone() {
        let mut kind = schedule(Overlap::Allow, None);
        kind.pause();
        assert_eq!(kind.timer(), None);
        let now = Time::from_millis(5);
        let job = kind.job(now, 7);
        kind.fired(None, job.id, now);
        assert_eq!(kind.next_at, Some(Time::from_millis(MINUTE)));
        kind.resume(Time::from_millis(3 * MINUTE));
        assert_eq!(kind.timer(), Some(Time::from_millis(4 * MINUTE)), "nothing is made up for");
    }

    #[test]
    fn every_job_has_an_id_of_its_own_and_carries_the_tag() {
        let kind = schedule(Overlap::Allow, None);
        let now = Time::from_millis(1_800_000_000_000);
        let (one, same) = (kind.job(now, 7), kind.job(now, 7));
        assert_eq!(one, same);
        let other = kind.job(now.after(Duration::from_millis(1)), 7);
        assert!(other.id > one.id, "ids sort by time");
        assert_ne!(kind.job(now, 8).id, one.id);
        let id = uuid::Uuid::from_u128(one.id.as_u128());
        assert_eq!((id.get_version_num(), id.get_variant()), (7, uuid::Variant::RFC4122));
        let tags: Vec<&str> = one.labels.tags.iter().map(Tag::as_str).collect();
        assert_eq!(tags, ["t", "schedule:nightly"]);
    }
}
