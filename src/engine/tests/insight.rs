//! The engine's history, failures and workers, and a concurrency that is set at run time.

use tokio::sync::Semaphore;

use super::*;
use crate::engine::{Latency, WaitRange};
use crate::job::{Concurrency, Kind, QueueName};

/// Polls until `look` returns a value, because the observer is slightly behind the events.
async fn until<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let search = async {
        loop {
            if let Some(found) = look() {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(BOUND, search).await.expect("the value was not seen in time")
}

/// Polls until the history of the server is as expected.
async fn until_history(
    engine: &Engine,
    range: HistoryRange,
    is_there: impl Fn(&History) -> bool,
) -> History {
    let search = async {
        loop {
            let history = engine.history(None, range).await.unwrap();
            if is_there(&history) {
                return history;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(BOUND, search).await.expect("the history was not seen in time")
}

fn failing() -> Registry {
    one(|context: AttemptContext, _: ()| async move {
        Err::<(), _>(format!("no answer from {} after {} s", context.job().id, context.attempt()))
    })
}

#[tokio::test]
async fn failures_are_grouped_while_they_happen_and_again_after_a_restart() {
    let store = memory();
    let shop = open_on(store.clone(), failing(), quick());
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(shop.run(work()).await.id);
    }
    let known = |engine: &Engine, dead| {
        let list = engine.failures(9);
        (!list.counting && list.groups.first().is_some_and(|group| group.dead == dead))
            .then_some(list)
    };
    let list = until(|| known(&shop.engine, 3)).await;
    let group = &list.groups[0];
    assert_eq!((list.total, list.beyond), (1, 0));
    assert_eq!(group.pattern, "no answer from N after N s");
    assert_eq!((group.example, group.minutes.iter().sum::<u32>()), (ids[2], 9));
    assert_eq!(shop.engine.failure_group(&group.id).as_ref(), Some(group));
    assert_eq!(shop.engine.failure_members(&group.id, None, 2).0.len(), 2);

    shop.engine.retry(ids[0]).await.unwrap();
    shop.finish(ids[0]).await;
    shop.engine.delete(ids[1]).await.unwrap();
    until(|| known(&shop.engine, 2)).await;

    // After a restart the engine knows the same groups, their jobs and how often those failed.
    let next = open_on(store.restarted(), failing(), quick());
    let again = until(|| known(&next.engine, 2)).await;
    assert_eq!(again.groups[0].id, group.id);
    assert_eq!(again.groups[0].minutes.iter().sum::<u32>(), 10);
    for range in HistoryRange::ALL {
        let history = until_history(&next.engine, range, |history| {
            let failed: u32 = history.points.iter().map(|point| point.counts.failed).sum();
            failed == 10
        });
        assert_eq!(history.await.starts.len(), 2);
    }
    // The attempts of the kind were counted before the restart, too, and timed.
    let kind = next.engine.job(ids[2]).await.unwrap().0.unwrap().labels.kind.clone();
    for range in HistoryRange::ALL {
        let history = next.engine.kind_history(&kind, range).await.unwrap();
        assert_eq!(history.points.iter().map(|point| point.counts.failed).sum::<u32>(), 10);
        let runs = next.engine.run_times(&kind, range).await.unwrap();
        assert_eq!(runs.bars.iter().map(|bar| bar.count).sum::<u64>(), 10, "{range:?}");
    }
    let other = Kind::parse("other").unwrap();
    assert_eq!(next.engine.kind_history(&other, HistoryRange::Hour).await.unwrap().points, []);
}

#[tokio::test]
async fn the_waits_of_each_queue_are_in_the_column_of_their_time() {
    let clock = crate::clock::ManualClock::at(crate::job::Time::from_millis(1_800_000_030_000));
    let clock = Arc::new(clock);
    let store = MemoryStore::new(StoreLimits::default(), clock.clone());
    let shop = open_with_clock(store, failing(), quick(), clock.clone());
    shop.run(once(work())).await;
    clock.advance(Duration::from_secs(240));
    shop.run(once(work())).await;
    until_history(&shop.engine, HistoryRange::Hour, |history| {
        history.points.iter().map(|point| point.counts.failed).sum::<u32>() == 2
    })
    .await;
    let queues = [QueueName::default(), QueueName::parse("idle").unwrap()];
    let filled = |range| {
        let (engine, queues) = (shop.engine.clone(), queues.clone());
        async move {
            let map = engine.wait_map(&queues, range).await.unwrap();
            let cells = |row: &Vec<Option<Latency>>| {
                let with_jobs = row.iter().enumerate().filter(|(_, cell)| cell.is_some());
                with_jobs.map(|(column, _)| row.len() - column).collect::<Vec<_>>()
            };
            map.rows.iter().map(cells).collect::<Vec<_>>()
        }
    };
    assert_eq!(filled(WaitRange::Hour).await, [vec![3, 1], vec![]], "columns from the end");
    assert_eq!(filled(WaitRange::SixHours).await, [vec![1], vec![]]);
    assert_eq!(filled(WaitRange::Week).await, [vec![1], vec![]]);
}

#[tokio::test]
async fn the_history_knows_when_the_server_was_down() {
    let clock = crate::clock::ManualClock::at(crate::job::Time::from_millis(1_800_000_000_000));
    let clock = Arc::new(clock);
    let store = MemoryStore::new(StoreLimits::default(), clock.clone());
    let shop = open_with_clock(store.clone(), failing(), quick(), clock.clone());
    let began = shop.engine.now();
    clock.advance(Duration::from_secs(5));
    shop.run(once(work())).await;
    let ended = shop.engine.now();
    clock.advance(Duration::from_secs(60));
    let restarted = store.restarted();
    let restart = clock.now();
    let next = open_with_clock(restarted, failing(), quick(), clock.clone());
    let range = HistoryRange::FiveMinutes;
    let two = until_history(&next.engine, range, |history| history.periods.len() == 2);
    let periods = two.await.periods;
    let stopped = ended.after(Duration::from_secs(1));
    assert_eq!((periods[0].from, periods[0].until), (began, stopped));
    assert_eq!((periods[1].from, periods[1].until), (restart, next.engine.now()));
}

#[tokio::test]
async fn a_job_that_retention_removed_leaves_its_group() {
    let clock = crate::clock::ManualClock::at(crate::job::Time::from_millis(1_800_000_000_000));
    let store = MemoryStore::new(StoreLimits::default(), Arc::new(clock.clone()));
    let shop = open_on(store, failing(), quick());
    shop.run(once(work())).await;
    until(|| (shop.engine.failures(1).groups.first()?.dead == 1).then_some(())).await;
    clock.advance(Duration::from_secs(31 * 86_400));
    until(|| {
        (shop.engine.failures(1).groups.first().is_none_or(|group| group.dead == 0)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_concurrency_set_at_run_time_is_in_force_at_once_and_after_a_restart() {
    let gate = Arc::new(Semaphore::new(0));
    let registry = || {
        let gate = gate.clone();
        one(move |_: AttemptContext, _: ()| {
            let gate = gate.clone();
            async move {
                gate.acquire().await.unwrap().forget();
                Ok::<_, String>(())
            }
        })
    };
    let name = QueueName::default();
    let one = Concurrency::clamped(1);
    let config = || EngineConfig {
        queues: vec![(
            name.clone(),
            QueueConfig { concurrency: one, limit: Some(one), weight: 1, rate_limit: None },
        )],
        ..quick()
    };
    let store = memory_with_limits(&config());
    let mut shop = open_on(store.clone(), registry(), config());
    let jobs: Vec<NewJob> = (0..9).map(|_| work()).collect();
    shop.engine.enqueue(jobs).await.unwrap();
    until(|| (shop.engine.running() == 1).then_some(())).await;
    shop.engine.set_concurrency(name.clone(), Some(Concurrency::clamped(3))).await.unwrap();
    until(|| (shop.engine.running() == 3).then_some(())).await;
    shop.engine.set_concurrency(name.clone(), Some(Concurrency::clamped(2))).await.unwrap();
    gate.add_permits(3);
    for _ in 0..3 {
        shop.event(|_, change| matches!(change, Change::Completed { .. }).then_some(())).await;
    }
    until(|| (shop.engine.running() == 2).then_some(())).await;
    assert_eq!(shop.engine.workers(9).total, 2);

    // Two jobs were running and four wait: after a restart two run, not one as configured.
    let next = open_on(store.restarted(), registry(), config());
    until(|| (next.engine.running() >= 2).then_some(())).await;
    next.engine.stats().await.unwrap();
    assert_eq!(next.engine.running(), 2);
    let stats = next.engine.stats().await.unwrap();
    let view = next.engine.config().queue_view(&name, &stats.queues[&name]);
    assert_eq!((view.concurrency, view.slots, view.configured), (Some(2), 2, Some(1)));
    next.engine.set_concurrency(name, None).await.unwrap();
    gate.add_permits(9);
}

#[tokio::test]
async fn workers_tell_what_they_hold_and_since_when() {
    let registry = one(|context: AttemptContext, _: ()| async move {
        context.cancelled().await;
        Ok::<_, String>(())
    });
    let mut shop = open(registry);
    let first = shop.submit(work()).await;
    shop.started(first).await;
    let second = shop.submit(work()).await;
    shop.started(second).await;
    let workers = until(|| Some(shop.engine.workers(9)).filter(|workers| workers.total == 2)).await;
    let ids: Vec<JobId> = workers.attempts.iter().map(|held| held.job.id).collect();
    assert_eq!(ids, [first, second]);
    let held = &workers.attempts[0];
    assert!(held.started_at <= held.lease_until && held.heartbeat_at <= held.lease_until);
    assert_eq!((held.job.status.attempt, held.is_ending), (1, false));
    assert_eq!(shop.engine.workers(1).attempts.len(), 1);
    shop.engine.cancel(first).await.unwrap();
    shop.engine.cancel(second).await.unwrap();
    shop.finish(second).await;
}
