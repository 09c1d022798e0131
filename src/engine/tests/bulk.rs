//! Bulk runs: they work in steps, report their progress, and end by themselves or when they are stopped.

use std::sync::atomic::Ordering;

use super::faults::Faulty;
use super::*;
use crate::engine::bulk::{Action, BulkId, BulkReport, Count, End, MAX_RUNNING, Target};

/// A job that stays scheduled during the test.
fn later() -> NewJob {
    NewJob { start: Start::After(Duration::from_secs(3_600)), ..work() }
}

fn everything() -> Target {
    Target::Matching(Box::default())
}

/// A shop with `jobs` waiting jobs, whose store permits `controls` controls.
async fn shop(jobs: usize, controls: usize) -> (Arc<Faulty>, Shop) {
    let store = Faulty::new(memory());
    store.controls.forget_permits(1_000 - controls);
    let shop =
        open_on(store.clone(), one(|_: AttemptContext, ()| async { Outcome::Cancel }), quick());
    shop.engine.enqueue((0..jobs).map(|_| later()).collect()).await.unwrap();
    (store, shop)
}

async fn over(shop: &Shop, id: BulkId) -> BulkReport {
    timeout(BOUND, shop.engine.bulk_over(id)).await.expect("the run ends").unwrap()
}

fn end(report: &BulkReport) -> Option<&End> {
    report.progress.ended.as_ref().map(|(_, end)| end)
}

/// Waits until a run has sent `steps` controls to the store.
async fn asked(store: &Faulty, steps: usize) {
    let reached = async {
        while store.calls.lock().unwrap().iter().filter(|call| **call == "control").count() < steps
        {
            tokio::task::yield_now().await;
        }
    };
    timeout(BOUND, reached).await.expect("the run should get this far");
}

#[tokio::test]
async fn a_run_acts_on_everything_in_steps_and_says_what_was_refused() {
    let (_, shop) = shop(450, 1_000).await;
    let mut gone = Vec::new();
    for _ in 0..7 {
        let id = shop.submit(later()).await;
        shop.engine.cancel(id).await.unwrap();
        gone.push(id);
    }
    let begun = shop.engine.bulk(Action::Cancel, everything()).await.unwrap();
    assert_eq!((begun.expected, begun.stored), (Count::Exactly(457), 457));
    let report = over(&shop, begun.id).await;
    assert_eq!((end(&report), report.progress.done), (Some(&End::Finished), 450));
    assert!(report.progress.examined >= 457, "{report:?}");
    let refused = &report.progress.refused;
    assert_eq!((refused.len(), refused[0].count, report.progress.refused()), (1, 7, 7));
    assert_eq!(refused[0].reason, "a cancelled job cannot be cancelled");
    assert!(refused[0].examples.len() == 5 && gone.contains(&refused[0].examples[0]));
    assert_eq!(shop.engine.stats().await.unwrap().states[&State::Cancelled], 457);
    assert_eq!(shop.engine.known_bulk_reports()[0].id, begun.id);
}

#[tokio::test]
async fn a_run_over_a_list_acts_on_those_jobs_only() {
    let (_, shop) = shop(3, 1_000).await;
    let (id, unknown) = (shop.submit(later()).await, JobId::generate());
    let target = Target::Jobs(vec![id, unknown]);
    let action = Action::Move(QueueName::parse("new").unwrap());
    let begun = shop.engine.bulk(action, target).await.unwrap();
    let report = over(&shop, begun.id).await;
    assert_eq!((report.progress.done, report.progress.refused()), (1, 1));
    assert_eq!(report.progress.refused[0].reason, "there is no such job");
    let (job, _) = shop.engine.job(id).await.unwrap();
    assert_eq!(job.unwrap().labels.queue.as_str(), "new");
    let stats = shop.engine.stats().await.unwrap();
    assert_eq!(stats.queues[&QueueName::default()].states[&State::Scheduled], 3);
}

#[tokio::test]
async fn a_stopped_run_ends_after_the_step_it_is_in() {
    let (store, shop) = shop(500, 1).await;
    let id = shop.engine.bulk(Action::Delete, everything()).await.unwrap().id;
    asked(&store, 2).await;
    let mut stopping = std::pin::pin!(shop.engine.bulk_stop(id));
    assert!(futures_util::poll!(stopping.as_mut()).is_pending(), "a step is under way");
    store.controls.add_permits(9);
    let report = timeout(BOUND, stopping).await.expect("it stops").unwrap().unwrap();
    assert_eq!((end(&report), report.progress.done), (Some(&End::Stopped), 400));
    assert_eq!(shop.engine.stats().await.unwrap().states[&State::Scheduled], 100);
}

#[tokio::test]
async fn a_run_ends_with_the_server_and_says_so() {
    let (store, shop) = shop(500, 1).await;
    let id = shop.engine.bulk(Action::Delete, everything()).await.unwrap().id;
    asked(&store, 2).await;
    shop.shutdown.draining.cancel();
    store.controls.add_permits(9);
    let report = shop.engine.stop(&stopping::bounds(), async {}).await;
    assert!(report.clean, "{report:?}");
    let report = over(&shop, id).await;
    assert_eq!((end(&report), report.progress.done), (Some(&End::ServerStopped), 400));
}

#[tokio::test]
async fn a_store_that_refuses_ends_the_run_with_its_words() {
    let (store, shop) = shop(5, 9).await;
    store.bad_controls.store(1, Ordering::SeqCst);
    let id = shop.engine.bulk(Action::Delete, everything()).await.unwrap().id;
    let report = over(&shop, id).await;
    let Some(End::Failed(why)) = end(&report) else { panic!("{report:?}") };
    assert!(why.contains("no space left") && report.progress.done == 0, "{why}");
}

#[tokio::test]
async fn the_number_of_concurrent_runs_is_limited() {
    let (store, shop) = shop(5, 0).await;
    for _ in 0..MAX_RUNNING {
        shop.engine.bulk(Action::Retry, everything()).await.unwrap();
    }
    let refused = shop.engine.bulk(Action::Retry, everything()).await;
    assert!(matches!(refused, Err(BulkError::TooManyRuns { limit: MAX_RUNNING })));
    store.controls.add_permits(100);
    for report in shop.engine.known_bulk_reports() {
        over(&shop, report.id).await;
    }
    shop.engine.bulk(Action::Retry, everything()).await.unwrap();
}

#[tokio::test]
async fn jobs_that_come_after_its_start_are_not_touched() {
    let (store, shop) = shop(300, 0).await;
    let id = shop.engine.bulk(Action::Delete, everything()).await.unwrap().id;
    asked(&store, 1).await;
    let after = shop.submit(later()).await;
    store.controls.add_permits(9);
    assert_eq!(over(&shop, id).await.progress.done, 300);
    assert!(shop.engine.job(after).await.unwrap().0.is_some());
}

#[tokio::test]
async fn running_jobs_are_asked_to_stop() {
    let registry = one(|context: AttemptContext, (): ()| async move {
        context.cancelled().await;
        Outcome::Cancel
    });
    let mut shop = open(registry);
    let id = shop.submit(work()).await;
    shop.started(id).await;
    let target = Target::Jobs(vec![id]);
    let run = shop.engine.bulk(Action::Cancel, target).await.unwrap();
    assert_eq!(over(&shop, run.id).await.progress.done, 1);
    assert_eq!(shop.finish(id).await.status.state, State::Cancelled);
}

#[tokio::test]
async fn what_cannot_be_counted_without_a_scan_is_counted_at_least() {
    let (_, shop) = shop(600, 0).await;
    let count = async |words: &str| {
        let mut query = JobQuery::default();
        query.narrow(words, shop.engine.now()).unwrap();
        shop.engine.bulk_count(&Target::Matching(Box::new(query))).await.unwrap()
    };
    assert_eq!(count("state:scheduled").await, Count::Exactly(600));
    assert_eq!(count("queue:default,other state:scheduled").await, Count::Exactly(600));
    assert_eq!(count("kind:work state:running").await, Count::Exactly(0));
    assert_eq!(count("null").await, Count::AtLeast(500));
    assert_eq!(count("kind:work queue:none").await, Count::Exactly(0));
    assert_eq!(shop.engine.bulk_count(&Target::Jobs(vec![])).await.unwrap(), Count::Exactly(0));
}

/// A shop with two failure groups, of 3 and 2 dead jobs, and the ids of the groups in that order.
async fn two_failures(controls: usize) -> (Arc<Faulty>, Shop, [String; 2]) {
    let store = Faulty::new(memory());
    store.controls.forget_permits(1_000 - controls);
    let mut registry = one(|_: AttemptContext, ()| async { Err::<(), _>("no such user") });
    add(&mut registry, "other", |_: AttemptContext, ()| async { Err::<(), _>("no answer") });
    let shop = open_on(store.clone(), registry, quick());
    for kind in ["work", "work", "work", "other", "other"] {
        shop.run(once(job(kind, "default"))).await;
    }
    let known = async {
        loop {
            let list = shop.engine.failures(9);
            let of = |kind: &str, dead| {
                let mut groups = list.groups.iter();
                groups.find(|group| group.kind.as_str() == kind && group.dead == dead)
            };
            if let (Some(work), Some(other)) = (of("work", 3), of("other", 2)) {
                return [work.id.clone(), other.id.clone()];
            }
            tokio::task::yield_now().await;
        }
    };
    let groups = timeout(BOUND, known).await.expect("the failures are seen");
    (store, shop, groups)
}

#[tokio::test]
async fn a_run_over_a_group_of_failures_acts_on_its_jobs_only() {
    let (_, shop, [work, other]) = two_failures(1_000).await;
    let target = Target::FailureGroup(work);
    assert_eq!(shop.engine.bulk_count(&target).await.unwrap(), Count::Exactly(3));
    let report = shop.engine.bulk_within(Action::Delete, target, BOUND).await.unwrap();
    assert_eq!((end(&report), report.progress.done), (Some(&End::Finished), 3));
    let stats = shop.engine.stats().await.unwrap();
    assert_eq!(stats.states[&State::Discarded], 2);
    assert_eq!(shop.engine.failure_members(&other, None, 9).0.len(), 2);
    let nowhere = Target::FailureGroup("not a group".into());
    let report = shop.engine.bulk_within(Action::Delete, nowhere, BOUND).await.unwrap();
    assert_eq!((end(&report), report.progress.done), (Some(&End::Finished), 0));
}

#[tokio::test]
async fn a_run_that_does_not_fit_into_its_time_is_stopped() {
    let (store, shop, _) = two_failures(0).await;
    shop.engine.enqueue((0..500).map(|_| later()).collect()).await.unwrap();
    let bounded = shop.engine.bulk_within(Action::Delete, everything(), Duration::from_millis(1));
    let unblock = async {
        asked(&store, 1).await;
        let run = shop.engine.known_bulk_reports()[0].id;
        let run = shop.engine.parts.bulks.find(run).unwrap();
        timeout(BOUND, run.stop.cancelled()).await.expect("its time ends");
        store.controls.add_permits(9);
    };
    let (report, ()) = tokio::join!(bounded, unblock);
    let report = report.unwrap();
    assert_eq!((end(&report), report.progress.done), (Some(&End::Stopped), 200));
}
