//! What the engine does when the clock of the machine is set.

use tokio::sync::Notify;

use super::*;
use crate::clock::ManualClock;
use crate::job::{Origin, ScheduleChange, ScheduleName, Time};

#[tokio::test]
async fn setting_the_clock_ends_no_attempt_and_stops_no_schedule() {
    const YEAR: Duration = Duration::from_secs(365 * 86_400);
    for set in [Time::after, Time::before] {
        let clock = ManualClock::at(Time::from_millis(1_800_000_000_000));
        let store = MemoryStore::new(StoreLimits::default(), Arc::new(clock.clone()));
        let release = Arc::new(Notify::new());
        let released = release.clone();
        let mut registry = one(move |_: AttemptContext, _: Option<()>| {
            let released = released.clone();
            async move {
                released.notified().await;
                Ok::<_, String>(7)
            }
        });
        add(&mut registry, "quick", |_: AttemptContext, _: Option<()>| async {
            Ok::<_, String>(1)
        });
        // The test passes minutes of the clock's time in less than the time of a heartbeat.
        let config = EngineConfig { lease_ttl: Duration::from_secs(3_600), ..quick() };
        let mut shop = open_with_clock(store.clone(), registry, config, Arc::new(clock.clone()));
        let id = shop.submit(work()).await;
        shop.started(id).await;
        let submission = ScheduleSubmission {
            cron: "every 1m".into(),
            kind: "quick".into(),
            ..ScheduleSubmission::default()
        };
        let spec = submission.into_spec(Origin::Api, shop.engine.kinds(), clock.now()).unwrap();
        let name = ScheduleName::parse("often").unwrap();
        shop.engine.set_schedule(name, spec).await.unwrap();
        store.tick().await.unwrap(); // with the clock as it was
        clock.set(set(clock.now(), YEAR));
        let fired = |batch: &Batch| {
            batch.events.iter().any(|event| {
                let Fact::Schedule { change, .. } = &event.fact else { return false };
                matches!(change, ScheduleChange::Fired { .. })
            })
        };
        let runs = async {
            for _ in 0..2 {
                loop {
                    clock.advance(Duration::from_secs(5));
                    let received = timeout(Duration::from_millis(20), shop.live.recv()).await;
                    if received.is_ok_and(|batch| fired(&batch.unwrap())) {
                        break;
                    }
                }
            }
        };
        timeout(BOUND, runs).await.expect("the schedule does not run");
        release.notify_one();
        let job = shop.finish(id).await;
        assert_eq!((job.status.state, job.status.attempt), (State::Completed, 1));
    }
}
