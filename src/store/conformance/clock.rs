//! What happens when the clock of the machine is set: leases and delays last as long as they were to last, schedules and
//! chosen times follow the clock, and a clock that was years ahead leaves nothing behind that waits for years.

use std::time::Duration;

use super::rig::TTL;
use super::schedule::{every, named};
use super::{Harness, Rig, draft, failed, secs};
use crate::clock::ClockJump;
use crate::job::{JobId, JobQuery, Schedule, Start, State, Time, Verdict};
use crate::store::{Keep, Retention, ScheduleCommand, StoreLimits};

/// A bit more than three years.
const YEARS: Duration = secs(100_000_000);
const TEN_MINUTES: Duration = secs(600);

impl<H: Harness> Rig<H> {
    fn set_clock_forward(&self, by: Duration) {
        self.clock().set(self.now().after(by));
    }

    fn set_clock_back(&self, by: Duration) {
        self.clock().set(self.now().before(by));
    }

    async fn of_schedule(&self, name: &str) -> Schedule {
        let (all, _) = self.store.schedules().await.unwrap();
        all.into_iter().find(|schedule| schedule.name == named(name)).unwrap()
    }
}

pub(crate) async fn setting_the_clock_ends_no_lease_and_prolongs_none(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let lease = rig.start(draft()).await;
    rig.set_clock_forward(TEN_MINUTES);
    assert_eq!(rig.tick().await.rescued, 0);
    rig.pass(TTL / 2);
    assert_eq!(rig.tick().await.rescued, 0);
    rig.set_clock_back(YEARS);
    let ticked = rig.tick().await;
    assert_eq!((ticked.rescued, ticked.next), (0, Some(rig.now().after(TTL / 2))));
    rig.pass(TTL / 2);
    assert_eq!(rig.tick().await.rescued, 1);
    assert_eq!(rig.state(lease.job.id).await, State::Available);

    let lease = rig.claim_one().await;
    rig.set_clock_back(TEN_MINUTES);
    rig.extend(&lease, secs(5)).await;
    rig.set_clock_forward(YEARS);
    assert_eq!(rig.tick().await.rescued, 0);
    rig.pass(secs(5));
    assert_eq!(rig.tick().await.rescued, 1);
}

pub(crate) async fn a_tick_says_how_far_the_clock_was_set(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    let jump = async || rig.tick().await.clock_jump;
    assert_eq!(jump().await, None);
    rig.pass(YEARS);
    assert_eq!(jump().await, None, "time has passed");
    rig.set_clock_forward(TEN_MINUTES);
    rig.pass(secs(1));
    assert_eq!(jump().await, Some(ClockJump::Forward(TEN_MINUTES)));
    assert_eq!(jump().await, None, "it is said once");
    rig.set_clock_back(YEARS);
    assert_eq!(jump().await, Some(ClockJump::Back(YEARS)));
}

/// Jobs that wait for 60 seconds: for a retry, after a snooze, and because they were submitted with a delay.
async fn delayed<H: Harness>(rig: &Rig<H>) -> [JobId; 3] {
    let retried = rig.start(draft().attempts(9)).await;
    rig.settle(&retried, failed(secs(60))).await.unwrap();
    let snoozed = rig.start(draft()).await;
    rig.settle(&snoozed, Verdict::Snoozed { delay: secs(60) }).await.unwrap();
    [retried.job.id, snoozed.job.id, rig.add(draft().after(secs(60))).await.id]
}

pub(crate) async fn a_delay_lasts_as_long_as_it_was_to_last(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    rig.tick().await;
    for step in ["forward", "back"] {
        let ids = delayed(&rig).await;
        rig.pass(secs(20));
        match step {
            "forward" => rig.set_clock_forward(TEN_MINUTES),
            _ => rig.set_clock_back(YEARS),
        }
        let ticked = rig.tick().await;
        let due = rig.now().after(secs(40));
        assert_eq!((ticked.due, ticked.next), (0, Some(due)), "{step}");
        for id in ids {
            assert_eq!(rig.job(id).await.run_at, due, "{step}");
        }
        let query = JobQuery { states: [State::Retryable].into(), limit: 9, ..JobQuery::default() };
        assert_eq!(rig.all(query).await[0].run_at, due, "{step}");
        rig.pass(secs(39));
        assert_eq!(rig.tick().await.due, 0, "{step}");
        rig.pass(secs(1));
        assert_eq!(rig.tick().await.due, 3, "{step}");
        for lease in rig.claim(9).await {
            rig.complete(&lease).await;
        }
    }
}

pub(crate) async fn a_chosen_time_follows_the_clock(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    rig.tick().await;
    let at = |after| rig.now().after(after);
    let (soon, late) = (at(secs(300)), at(YEARS * 2));
    for time in [soon, late] {
        rig.add(draft().start(Start::At(time))).await;
    }
    rig.set_clock_forward(TEN_MINUTES);
    assert_eq!(rig.tick().await.due, 1, "its time has come at once");
    rig.set_clock_back(YEARS);
    rig.pass(secs(60));
    assert_eq!(rig.catch_up().await.due, 0);
    let job = rig.jobs().await.into_iter().find(|job| job.status.state == State::Scheduled);
    assert_eq!(job.unwrap().run_at, late);
}

/// What was written while the clock was years ahead is right again after the correction and a restart.
pub(crate) async fn a_delay_that_began_while_the_clock_was_ahead_begins_again(h: impl Harness) {
    let rig = Rig::open(h).await;
    rig.set_clock_forward(YEARS);
    rig.tick().await;
    let ids = delayed(&rig).await;
    let chosen = rig.now().after(secs(300));
    rig.set_clock_back(YEARS);
    let near = rig.add(draft().start(Start::At(rig.now().after(secs(300))))).await;
    let rig = rig.crash().await;
    let ticked = rig.tick().await;
    assert_eq!((ticked.due, ticked.next), (0, Some(rig.now().after(secs(60)))));
    assert!(rig.job(ids[0]).await.run_at < chosen);
    rig.pass(secs(59));
    assert_eq!(rig.tick().await.due, 0);
    let rig = rig.reopen().await;
    rig.pass(secs(60));
    assert_eq!(rig.catch_up().await.due, 3);
    assert_eq!(rig.state(near.id).await, State::Scheduled);
    rig.pass(secs(300));
    assert_eq!(rig.catch_up().await.due, 1);
}

pub(crate) async fn a_delay_is_not_prolonged_by_a_restart(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    delayed(&rig).await;
    rig.pass(secs(50));
    let rig = rig.crash().await;
    rig.pass(secs(10));
    assert_eq!(rig.tick().await.due, 3);
}

pub(crate) async fn a_job_from_a_clock_that_was_ahead_is_not_claimed_after_all_others(
    harness: impl Harness,
) {
    let rig = Rig::open(harness).await;
    rig.tick().await;
    rig.set_clock_forward(YEARS);
    rig.tick().await;
    let (first, second) = (rig.add(draft()).await.id, rig.add(draft()).await.id);
    rig.set_clock_back(YEARS);
    rig.tick().await;
    rig.pass(secs(1));
    let newer = rig.add(draft()).await.id;
    assert_eq!(rig.claim_one().await.job.id, first);
    let rig = rig.crash().await;
    rig.pass(secs(1));
    let newest = rig.add(draft()).await.id;
    // The claimed one was given back at the restart, which is later than the others became available.
    let order: Vec<JobId> = rig.claim(9).await.iter().map(|lease| lease.job.id).collect();
    assert_eq!(order.last(), Some(&newest), "{order:?}");
    assert!(order.contains(&second) && order.contains(&newer) && order.contains(&first));
}

pub(crate) async fn a_schedule_follows_a_clock_that_was_years_ahead_and_is_corrected(
    harness: impl Harness,
) {
    let mut rig = Rig::open(harness).await;
    rig.tick().await;
    let patterns = [("often", "every 1m"), ("hourly", "5 * * * *"), ("daily", "0 4 * * *")];
    for (name, pattern) in patterns {
        rig.set(name, every(pattern, draft())).await;
    }
    let next = |schedule: &Schedule, now: Time| schedule.spec.cron.next_after(now);
    for restart in [false, true] {
        rig.set_clock_forward(YEARS);
        assert_eq!(rig.catch_up().await.fired, 3, "their times have passed");
        for (name, _) in patterns {
            let schedule = rig.of_schedule(name).await;
            assert_eq!(schedule.next_at, next(&schedule, rig.now()));
        }
        // It runs for a day with the wrong clock.
        rig.pass(secs(86_400));
        assert_eq!(rig.catch_up().await.fired, 3);
        rig.set_clock_back(YEARS);
        if restart {
            rig = rig.crash().await;
        } else {
            rig.tick().await;
        }
        for (name, _) in patterns {
            let schedule = rig.of_schedule(name).await;
            assert_eq!(schedule.next_at, next(&schedule, rig.now()), "{name}, restart: {restart}");
        }
        rig.pass(secs(60));
        assert_eq!(rig.catch_up().await.fired, 1, "restart: {restart}");
        rig.pass(secs(86_400));
        assert_eq!(rig.catch_up().await.fired, 3, "restart: {restart}");
    }
}

pub(crate) async fn a_clock_set_back_a_little_runs_no_schedule_twice(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    rig.tick().await;
    rig.set("hourly", every("every 1h", draft())).await;
    let due = rig.of_schedule("hourly").await.next_at.unwrap();
    rig.pass(due.since(rig.now()));
    assert_eq!(rig.catch_up().await.fired, 1);
    rig.set_clock_back(TEN_MINUTES);
    assert_eq!(rig.tick().await.fired, 0);
    rig.pass(TEN_MINUTES + secs(1));
    assert_eq!(rig.catch_up().await.fired, 0);
    assert_eq!(rig.of_schedule("hourly").await.next_at, Some(due.after(secs(3_600))));
}

pub(crate) async fn a_paused_schedule_is_counted_again_too(harness: impl Harness) {
    let rig = Rig::open(harness).await;
    rig.set_clock_forward(YEARS);
    rig.tick().await;
    rig.set("often", every("every 1m", draft())).await;
    rig.schedule(ScheduleCommand::Pause(named("often"))).await.unwrap();
    rig.set_clock_back(YEARS);
    rig.tick().await;
    let schedule = rig.of_schedule("often").await;
    assert_eq!(schedule.next_at, schedule.spec.cron.next_after(rig.now()));
}

pub(crate) async fn what_finished_while_the_clock_was_ahead_does_not_stay_for_years(
    harness: impl Harness,
) {
    let short = Keep { age: secs(600), count: 1_000 };
    let retention =
        Retention { completed: short, cancelled: short, discarded: short, events: short };
    // Small runs, so that jobs from before and after the correction are archived in several.
    let limits = StoreLimits { retention, archive_from: 2, ..StoreLimits::default() };
    let rig = Rig::open_with(harness, limits).await;
    rig.tick().await;
    rig.set_clock_forward(YEARS);
    rig.tick().await;
    for _ in 0..5 {
        rig.finish(draft()).await;
        rig.pass(secs(1));
    }
    rig.set_clock_back(YEARS);
    rig.tick().await;
    let rig = rig.reopen().await;
    for _ in 0..5 {
        rig.finish(draft()).await;
        rig.pass(secs(1));
    }
    assert_eq!((rig.catch_up().await.pruned, rig.jobs().await.len()), (0, 10));
    rig.pass(secs(1_200));
    rig.catch_up().await;
    assert_eq!(rig.jobs().await, []);
    rig.add(draft()).await;
    rig.catch_up().await;
    assert!(rig.stats().await.oldest.seq > 15, "the events have gone, too");
}
