//! Schedules: commands, due times, and durability.

use super::{Draft, Harness, Rig, draft, queue, secs};
use crate::job::{
    Cron, Fact, JobId, NewJob, Origin, Overlap, Schedule, ScheduleChange, ScheduleName,
    ScheduleSpec, Skip, State, Tag, Time,
};
use crate::store::{ScheduleCommand, ScheduleError, StoreLimits};

pub(crate) fn named(name: &str) -> ScheduleName {
    ScheduleName::parse(name).unwrap()
}

/// A schedule with this pattern and job.
pub(crate) fn every(pattern: &str, job: Draft) -> ScheduleSpec {
    let NewJob { labels, spec, .. } = job.job();
    let cron = Cron::parse(pattern, "", Time::default()).unwrap();
    ScheduleSpec {
        cron,
        labels,
        spec,
        overlap: Overlap::Allow,
        max_late_ms: None,
        origin: Origin::Api,
    }
}

impl<H: Harness> Rig<H> {
    pub(crate) async fn schedule(
        &self,
        command: ScheduleCommand,
    ) -> Result<Schedule, ScheduleError> {
        self.store.schedule(command, None).await
    }

    pub(crate) async fn set(&self, name: &str, spec: ScheduleSpec) -> Schedule {
        self.schedule(ScheduleCommand::Set(named(name), spec.into())).await.unwrap()
    }

    async fn schedules(&self) -> Vec<Schedule> {
        self.store.schedules().await.unwrap().0
    }

    async fn one(&self, name: &str) -> Schedule {
        let found =
            self.schedules().await.into_iter().find(|schedule| schedule.name == named(name));
        found.expect("the schedule should be stored")
    }

    /// The changes of schedules in the log.
    async fn changes(&self) -> Vec<ScheduleChange> {
        let change = |fact| match fact {
            Fact::Schedule { change, .. } => Some(change),
            Fact::Job { .. }
            | Fact::Queue { .. }
            | Fact::Access { .. }
            | Fact::Kind { .. }
            | Fact::Worker { .. } => None,
        };
        self.log().await.into_iter().filter_map(|event| change(event.fact)).collect()
    }
}

pub(crate) async fn a_schedule_is_kept_as_it_was_asked_for(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let spec = every("every 1m", draft().queue("night").tag("t").priority(3).attempts(2));
    let set = rig.set("b", spec.clone()).await;
    assert_eq!(set, Schedule::new(named("b"), spec.clone(), rig.now()));
    rig.set("a", spec.clone()).await;
    assert_eq!(rig.set("b", spec.clone()).await, set, "the same again");
    let next_at = set.next_at;
    assert_eq!(rig.changes().await, [ScheduleChange::Set { next_at }; 2], "a repeat is no event");
    let rig = rig.reopen().await.crash().await;
    let (stored, cursor) = rig.store.schedules().await.unwrap();
    assert_eq!(stored, [Schedule { name: named("a"), ..set.clone() }, set]);
    assert_eq!(cursor, rig.store.head());

    rig.pass(secs(5));
    let other = every("every 2m", draft());
    let changed = rig.set("b", other.clone()).await;
    assert_eq!((changed.spec, changed.set_at), (other, rig.now()));
    rig.schedule(ScheduleCommand::Delete(named("a"), Origin::Api)).await.unwrap();
    let gone = rig.schedule(ScheduleCommand::Delete(named("a"), Origin::Api)).await;
    assert_eq!(gone, Err(ScheduleError::NotFound));
    let rig = rig.crash().await;
    assert_eq!(rig.schedules().await, [rig.one("b").await]);
}

pub(crate) async fn a_schedule_of_a_long_payload_leaves_nothing_behind(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let long = crate::job::Json::of(&"x".repeat(30_000)).unwrap();
    rig.set("a", every("every 1m", draft().payload(long))).await;
    rig.set("a", every("every 1m", draft())).await;
    let rig = rig.reopen().await;
    rig.schedule(ScheduleCommand::Delete(named("a"), Origin::Api)).await.unwrap();
    assert_eq!(rig.reopen().await.schedules().await, []);
}

pub(crate) async fn a_schedule_enqueues_its_job_when_it_is_due(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let set = rig.set("nightly", every("every 1m", draft().queue("night").tag("t"))).await;
    let due = set.next_at.unwrap();
    assert_eq!(rig.tick().await.next, Some(due));
    assert_eq!(rig.jobs().await, []);
    rig.pass(due.since(rig.now()));
    let ticked = rig.tick().await;
    assert_eq!((ticked.fired, ticked.skipped), (1, 0));
    assert_eq!(ticked.next, Some(due.after(secs(60))));

    let [job] = rig.jobs().await.try_into().unwrap();
    assert_eq!((job.status.state, &job.labels.queue), (State::Available, &queue("night")));
    let tags: Vec<&str> = job.labels.tags.iter().map(Tag::as_str).collect();
    assert_eq!(tags, ["t", "schedule:nightly"]);
    let changes = rig.changes().await;
    let next_at = Some(due.after(secs(60)));
    assert_eq!(changes[1], ScheduleChange::Fired { due: Some(due), job: job.id, next_at });
    let log = rig.log().await;
    assert!(matches!(&log[1].fact, Fact::Job { id, .. } if *id == job.id), "the job comes first");
    assert_eq!(rig.tick().await.fired, 0);
    assert_eq!(rig.claim_from("night", 5).await.len(), 1);
}

pub(crate) async fn what_was_missed_is_one_run(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let set = rig.set("a", every("every 1m", draft())).await;
    let rig = rig.reopen().await;
    rig.pass(secs(10 * 60));
    assert_eq!(rig.catch_up().await.fired, 1);
    let after = rig.one("a").await;
    let last = after.last.unwrap();
    assert_eq!((last.due, last.at, Some(last.job)), (set.next_at, rig.now(), rig.newest().await));
    assert!(after.next_at > Some(rig.now()));
    let rig = rig.crash().await;
    assert_eq!((rig.catch_up().await.fired, rig.one("a").await), (0, after));
}

pub(crate) async fn a_run_that_would_be_too_late_is_skipped(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let spec = ScheduleSpec { max_late_ms: Some(5_000), ..every("every 1m", draft()) };
    let due = rig.set("a", spec).await.next_at.unwrap();
    rig.pass(due.since(rig.now()) + secs(6));
    let ticked = rig.catch_up().await;
    assert_eq!((ticked.fired, ticked.skipped), (0, 1));
    let next_at = Some(due.after(secs(60)));
    let changes = rig.changes().await.pop();
    assert_eq!(changes, Some(ScheduleChange::Skipped { due, why: Skip::Late, next_at }));
    rig.pass(secs(59));
    assert_eq!(rig.catch_up().await.fired, 1, "five seconds late");
    assert_eq!(rig.one("a").await.skipped, 0);
}

pub(crate) async fn of_missed_times_one_that_is_not_too_late_is_run(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let spec = ScheduleSpec { max_late_ms: Some(5_000), ..every("every 1m", draft()) };
    let first = rig.set("a", spec).await.next_at.unwrap();
    let rig = rig.crash().await;
    rig.pass(first.since(rig.now()) + secs(600 + 3));
    let ticked = rig.catch_up().await;
    assert_eq!((ticked.fired, ticked.skipped), (1, 0));
    let due = first.after(secs(600));
    assert_eq!(rig.one("a").await.last.unwrap().due, Some(due), "three seconds ago");
    assert_eq!(rig.one("a").await.next_at, Some(due.after(secs(60))));
    assert_eq!(rig.jobs().await.len(), 1);
}

pub(crate) async fn a_schedule_that_must_not_overlap_waits_for_its_last_job(h: impl Harness) {
    let rig = Rig::open(h).await;
    let spec = ScheduleSpec { overlap: Overlap::Skip, ..every("every 1m", draft()) };
    rig.set("a", spec).await;
    rig.pass(secs(60));
    assert_eq!(rig.catch_up().await.fired, 1);
    let lease = rig.claim_one().await;
    for n in 1..3 {
        rig.extend(&lease, secs(600)).await;
        rig.pass(secs(60));
        assert_eq!(rig.catch_up().await.skipped, 1);
        assert_eq!(rig.one("a").await.skipped, n);
    }
    rig.complete(&lease).await;
    rig.pass(secs(60));
    assert_eq!(rig.catch_up().await.fired, 1, "the job is finished");
    rig.delete(rig.newest().await.unwrap()).await.unwrap();
    rig.pass(secs(60));
    assert_eq!(rig.catch_up().await.fired, 1, "the job is deleted");
}

pub(crate) async fn a_paused_schedule_makes_up_for_nothing(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    rig.set("a", every("every 1m", draft())).await;
    rig.schedule(ScheduleCommand::Pause(named("a"))).await.unwrap();
    rig.schedule(ScheduleCommand::Pause(named("a"))).await.unwrap();
    rig.pass(secs(600));
    let ticked = rig.catch_up().await;
    assert_eq!((ticked.fired, ticked.next), (0, None));
    let rig = rig.crash().await;
    assert!(rig.one("a").await.paused);
    let resumed = rig.schedule(ScheduleCommand::Resume(named("a"))).await.unwrap();
    assert!(!resumed.paused && resumed.next_at > Some(rig.now()));
    assert_eq!(rig.catch_up().await.fired, 0);
    assert_eq!(rig.changes().await.len(), 3, "pausing twice is one event");
    rig.pass(secs(60));
    assert_eq!(rig.catch_up().await.fired, 1);
}

pub(crate) async fn a_schedule_is_fired_by_hand(harness: impl Harness) {
    let rig =
        Rig::open_with(harness, StoreLimits { max_waiting: 1, ..StoreLimits::default() }).await;
    let set = rig.set("a", every("every 1m", draft().queue("new"))).await;
    rig.schedule(ScheduleCommand::Pause(named("a"))).await.unwrap();
    let fire = || rig.schedule(ScheduleCommand::Fire(named("a")));
    let mut made: Vec<JobId> = Vec::new();
    for _ in 0..3 {
        made.push(fire().await.unwrap().last.unwrap().job); // even when the backlog is full
    }
    let jobs: Vec<JobId> = rig.jobs().await.into_iter().map(|job| job.id).collect();
    made.sort();
    made.reverse();
    assert_eq!((jobs, rig.one("a").await.next_at), (made, set.next_at));
    let nobody = rig.schedule(ScheduleCommand::Fire(named("b"))).await;
    assert_eq!(nobody, Err(ScheduleError::NotFound));
}

pub(crate) async fn a_declared_schedule_is_changed_by_its_declaration_only(h: impl Harness) {
    let rig = Rig::open(h).await;
    let declared = ScheduleSpec { origin: Origin::Config, ..every("every 1m", draft()) };
    rig.set("a", declared.clone()).await;
    let other = ScheduleCommand::Set(named("a"), every("every 5m", draft()).into());
    assert_eq!(rig.schedule(other).await, Err(ScheduleError::Declared));
    let delete = |by| rig.schedule(ScheduleCommand::Delete(named("a"), by));
    assert_eq!(delete(Origin::Api).await, Err(ScheduleError::Declared));
    rig.schedule(ScheduleCommand::Pause(named("a"))).await.unwrap();
    rig.set("a", ScheduleSpec { cron: every("every 5m", draft()).cron, ..declared }).await;
    assert!(rig.one("a").await.paused, "a new spec does not resume it");
    delete(Origin::Config).await.unwrap();
}

pub(crate) async fn one_schedule_too_many_is_refused(harness: impl Harness) {
    let rig =
        Rig::open_with(harness, StoreLimits { max_schedules: 1, ..StoreLimits::default() }).await;
    rig.set("a", every("every 1m", draft())).await;
    let more = ScheduleCommand::Set(named("b"), every("every 1m", draft()).into());
    assert_eq!(rig.schedule(more).await, Err(ScheduleError::TooMany { limit: 1 }));
    rig.set("a", every("every 2m", draft())).await;
}

pub(crate) async fn schedules_fire_by_their_times_one_step_at_a_tick(harness: impl Harness) {
    let rig = Rig::open_with(harness, StoreLimits { tick_step: 2, ..StoreLimits::default() }).await;
    for (name, pattern) in [("c", "every 50s"), ("b", "every 30s"), ("a", "every 30s")] {
        rig.set(name, every(pattern, draft())).await;
    }
    rig.pass(secs(150)); // all are due: those of 30 s for longer than that of 50 s
    let first = rig.tick().await;
    assert_eq!((first.fired, first.next), (2, rig.one("c").await.next_at));
    assert_eq!(rig.catch_up().await.fired, 1);
    let fired: Vec<String> = rig
        .log()
        .await
        .into_iter()
        .filter_map(|event| match event.fact {
            Fact::Schedule { schedule, change: ScheduleChange::Fired { .. } } => {
                Some(schedule.to_string())
            }
            Fact::Schedule { .. }
            | Fact::Job { .. }
            | Fact::Queue { .. }
            | Fact::Access { .. }
            | Fact::Kind { .. }
            | Fact::Worker { .. } => None,
        })
        .collect();
    assert_eq!(fired, ["a", "b", "c"]);
}

pub(crate) async fn the_timer_is_woken_for_an_earlier_schedule(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    rig.set("a", every("every 1h", draft())).await;
    rig.tick().await;
    let timer = rig.store.wake_timer();
    let is_woken =
        async || tokio::time::timeout(std::time::Duration::ZERO, timer.notified()).await.is_ok();
    is_woken().await; // consumes earlier notifications
    rig.set("b", every("every 2h", draft())).await;
    assert!(!is_woken().await, "the next tick comes early enough");
    rig.set("c", every("every 1s", draft())).await;
    assert!(is_woken().await);
}

impl<H: Harness> Rig<H> {
    async fn newest(&self) -> Option<JobId> {
        self.jobs().await.first().map(|job| job.id)
    }
}
