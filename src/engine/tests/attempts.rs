//! Attempts: how they end, and that one does not affect another.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

use super::*;

#[tokio::test]
async fn a_job_runs_to_completed_with_the_handlers_value() {
    let shop = open(one(|_: AttemptContext, _: ()| async { Ok::<_, String>(42) }));
    let job = shop.run(work()).await;
    assert_eq!(job.status.state, State::Completed);
    assert_eq!(job.result().unwrap().as_str(), "42");
    assert_eq!(ends(&job), ["completed"]);
}

#[tokio::test]
async fn a_job_that_fails_is_tried_again_until_it_succeeds() {
    let shop = open(one(|context: AttemptContext, _: ()| async move {
        if context.attempt() < 3 { Err("not yet") } else { Ok("done") }
    }));
    let job = shop.run(work()).await;
    assert_eq!(job.status.state, State::Completed);
    assert_eq!(ends(&job), ["error", "error", "completed"]);
}

#[tokio::test]
async fn a_job_whose_attempts_are_used_up_is_discarded() {
    let shop = open(one(|_: AttemptContext, _: ()| async { Err::<(), _>("never") }));
    let job = shop.run(work()).await;
    assert_eq!((job.status.state, job.status.attempt), (State::Discarded, 3));
    assert_eq!(&*job.last_failure().unwrap().message, "never");
}

#[tokio::test]
async fn a_wait_that_the_handler_asks_for_is_kept() {
    let shop = open(one(|_: AttemptContext, _: ()| async {
        Outcome::Retry { error: "busy".into(), after: Some(Duration::from_secs(3_600)) }
    }));
    let mut shop = shop;
    let id = shop.submit(work()).await;
    let run_at = shop
        .event(|of, change| match change {
            Change::RetryScheduled { run_at, .. } if of == id => Some(*run_at),
            _ => None,
        })
        .await;
    let wait = run_at.since(SystemClock.now());
    assert!(wait > Duration::from_secs(3_000), "{wait:?}");
}

#[tokio::test]
async fn a_wait_that_the_handler_asks_for_never_shortens_the_backoff() {
    for ms in [None, Some(0), Some(1), Some(200_000)] {
        let after = ms.map(Duration::from_millis);
        let mut shop = open(one(move |_: AttemptContext, _: ()| async move {
            Outcome::Retry { error: "busy".into(), after }
        }));
        let mut slow = work();
        let backoff = Backoff { base_ms: 600_000, cap_ms: 600_000 };
        Arc::get_mut(&mut slow.spec).unwrap().retry.backoff = backoff;
        let before = SystemClock.now();
        let id = shop.submit(slow).await;
        let run_at = shop
            .event(|of, change| match change {
                Change::RetryScheduled { run_at, .. } if of == id => Some(*run_at),
                _ => None,
            })
            .await;
        assert!(run_at.since(before) >= Duration::from_millis(300_000), "{ms:?}");
    }
}

#[tokio::test]
async fn a_snoozed_attempt_is_not_charged() {
    let calls = Arc::new(AtomicUsize::new(0));
    let seen = calls.clone();
    let shop = open(one(move |_: AttemptContext, _: ()| {
        let call = seen.fetch_add(1, Ordering::SeqCst);
        async move {
            match call {
                0 => Outcome::Snooze { delay: Duration::from_millis(1) },
                _ => Outcome::Done(Json::null()),
            }
        }
    }));
    let job = shop.run(work()).await;
    assert_eq!(ends(&job), ["snoozed", "completed"]);
    assert_eq!(job.status.attempt, 1);
}

#[tokio::test]
async fn a_panic_ends_its_attempt_only() {
    let mut registry = one(|_: AttemptContext, _: ()| async { Ok::<_, String>(()) });
    async fn broken(_: AttemptContext, _: ()) -> Outcome {
        panic!("the {} broke", "machine")
    }
    add(&mut registry, "broken", broken);
    let shop = open(registry);
    let job = shop.run(once(job("broken", "default"))).await;
    assert_eq!(
        (job.status.state, failure_class(&job)),
        (State::Discarded, Some(FailureClass::Panic))
    );
    assert_eq!(&*job.last_failure().unwrap().message, "the machine broke");
    assert_eq!(shop.run(work()).await.status.state, State::Completed);
}

#[tokio::test]
async fn a_stored_job_of_a_kind_without_handler_waits_and_stays_unclaimed() {
    let store = memory();
    let (lost, known) = (once(job("forgotten", "default")), work());
    let (id, last) = (lost.id, known.id);
    store.enqueue(vec![lost, known]).await.unwrap();
    let shop =
        open_on(store, one(|_: AttemptContext, _: ()| async { Ok::<_, String>(()) }), quick());
    assert_eq!(shop.finish(last).await.status.state, State::Completed);
    let status = shop.engine.job(id).await.unwrap().0.unwrap().status;
    assert_eq!((status.state, status.attempt), (State::Available, 0));
}

#[tokio::test]
async fn a_handler_that_hangs_past_its_timeout_is_dropped_and_ends_alone() {
    let mut registry = one(|_: AttemptContext, _: ()| async { Ok::<_, String>(()) });
    let dropped = Arc::new(Notify::new());
    let signal = dropped.clone();
    add(&mut registry, "hang", move |_: AttemptContext, _: ()| {
        let guard = Guard(signal.clone());
        async move {
            std::future::pending::<()>().await;
            drop(guard);
            Ok::<_, String>(())
        }
    });
    let shop = open(registry);
    let mut hang = once(job("hang", "default"));
    Arc::get_mut(&mut hang.spec).unwrap().timeout_ms = Some(20);
    let job = shop.run(hang).await;
    assert_eq!(failure_class(&job), Some(FailureClass::Timeout));
    timeout(BOUND, dropped.notified()).await.unwrap();
    assert_eq!(shop.run(work()).await.status.state, State::Completed);
}

struct Guard(Arc<Notify>);
impl Drop for Guard {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

#[tokio::test]
async fn a_handler_past_its_timeout_may_clean_up_and_even_finish() {
    let shop = open(one(|context: AttemptContext, _: ()| async move {
        context.cancelled().await;
        Ok::<_, String>("saved what there was")
    }));
    let job = shop.run(work_within(10)).await;
    assert_eq!(job.status.state, State::Completed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_handler_stuck_in_blocking_code_is_not_run_twice_at_once() {
    let (blocker, gate) = Blocker::new();
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let seen = most.clone();
    let registry = one(move |context: AttemptContext, _: ()| {
        let (gate, now, most) = (gate.clone(), now.clone(), most.clone());
        async move {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            if context.attempt() == 1 {
                block_on(&gate);
            }
            now.fetch_sub(1, Ordering::SeqCst);
            Ok::<_, String>(context.attempt())
        }
    });
    let config = EngineConfig { lease_ttl: Duration::from_millis(300), ..quick() };
    let mut shop = open_on(memory(), registry, config);
    let id = shop.submit(work_within(10)).await;
    shop.started(id).await;
    // The lease of the stuck attempt expires, and the job is claimed again but must wait for that attempt.
    shop.event(|_, change| matches!(change, Change::Rescued { .. }).then_some(())).await;
    shop.started(id).await;
    assert_eq!(seen.load(Ordering::SeqCst), 1);
    blocker.let_go();
    let job = shop.finish(id).await;
    assert_eq!(ends(&job), ["lease_expired", "completed"]);
    assert_eq!((job.result().unwrap().as_str(), seen.load(Ordering::SeqCst)), ("2", 1));
}

#[tokio::test]
async fn a_cancel_reaches_the_running_handler_at_once() {
    // A heartbeat would report the cancellation too, but not within the bound of this test.
    let mut shop = open(one(|context: AttemptContext, _: ()| async move {
        context.cancelled().await;
        Outcome::Cancel
    }));
    let id = shop.submit(work()).await;
    shop.started(id).await;
    assert!(shop.engine.cancel(id).await.unwrap().cancel_asked);
    let job = timeout(Duration::from_secs(5), shop.finish(id)).await.unwrap();
    assert_eq!(job.status.state, State::Cancelled);
}

#[tokio::test]
async fn a_cancelled_handler_that_does_not_listen_is_dropped() {
    let mut shop = open(one(|_: AttemptContext, _: ()| async {
        std::future::pending::<()>().await;
        Ok::<_, String>(())
    }));
    let id = shop.submit(work()).await;
    shop.started(id).await;
    shop.engine.cancel(id).await.unwrap();
    assert_eq!(shop.finish(id).await.status.state, State::Cancelled);
}

#[tokio::test]
async fn work_that_is_done_when_the_cancel_comes_is_completed() {
    let mut shop = open(one(|context: AttemptContext, _: ()| async move {
        context.cancelled().await;
        Ok::<_, String>("too late")
    }));
    let id = shop.submit(work()).await;
    shop.started(id).await;
    shop.engine.cancel(id).await.unwrap();
    assert_eq!(shop.finish(id).await.status.state, State::Completed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_attempt_that_waits_for_a_stuck_one_can_be_cancelled() {
    let (blocker, gate) = Blocker::new();
    let registry = one(move |_: AttemptContext, _: ()| {
        let gate = gate.clone();
        async move {
            block_on(&gate);
            Ok::<_, String>(())
        }
    });
    let config = EngineConfig { lease_ttl: Duration::from_millis(300), ..quick() };
    let mut shop = open_on(memory(), registry, config);
    let id = shop.submit(work_within(10)).await;
    shop.started(id).await;
    shop.started(id).await;
    shop.engine.cancel(id).await.unwrap();
    let job = shop.finish(id).await;
    assert_eq!(ends(&job), ["lease_expired", "cancelled"]);
    blocker.let_go();
}
