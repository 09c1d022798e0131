//! The stop: of an idle engine, within the grace period, beyond it, with stuck handlers, and cut short.

use std::time::Instant;

use tokio::sync::Notify;

use super::*;
use crate::shutdown::StopBounds;

/// Bounds that no test should reach; the stop must end before the grace period does.
pub(super) fn bounds() -> StopBounds {
    StopBounds { grace: BOUND, ..StopBounds::default() }
}

fn hang() -> Registry {
    one(|_: AttemptContext, _: ()| async {
        std::future::pending::<()>().await;
        Ok::<_, String>(())
    })
}

#[tokio::test]
async fn an_idle_engine_stops_at_once() {
    let shop = open(Registry::default());
    let report = shop.engine.stop(&bounds(), async {}).await;
    assert!(report.clean, "{report:?}");
    assert!(report.duration < Duration::from_secs(2), "{report:?}");
    shop.shutdown.tasks.close();
    timeout(BOUND, shop.shutdown.tasks.wait()).await.expect("every loop has ended");
    assert!(matches!(
        shop.engine.enqueue(Vec::new()).await,
        Err(SubmitError::Enqueue(EnqueueError::Store(StoreError::Closed)))
    ));
}

#[tokio::test]
async fn a_job_that_ends_within_the_grace_is_completed() {
    let (go, going) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (gate, started) = (go.clone(), going.clone());
    let mut shop = open(one(move |_: AttemptContext, _: ()| {
        let (gate, started) = (gate.clone(), started.clone());
        async move {
            started.notify_one();
            gate.notified().await;
            Ok::<_, String>(())
        }
    }));
    shop.submit(work()).await;
    going.notified().await;
    let (engine, draining) = (shop.engine.clone(), shop.shutdown.draining.clone());
    let stop = tokio::spawn(async move { engine.stop(&bounds(), async {}).await });
    draining.cancelled().await;
    go.notify_one();
    shop.event(|_, change| matches!(change, Change::Completed { .. }).then_some(())).await;
    let report = stop.await.unwrap();
    assert_eq!((report.finished, report.interrupted, report.clean), (1, 0, true));
}

#[tokio::test]
async fn an_attempt_past_the_grace_is_given_back_uncharged() {
    let store = memory();
    let mut shop = open_on(store.clone(), hang(), quick());
    let id = shop.submit(work()).await;
    shop.started(id).await;
    let short = StopBounds { grace: Duration::from_millis(20), ..bounds() };
    let drained = shop.engine.drain(&short).await;
    assert_eq!((drained.finished, drained.interrupted, drained.stuck), (0, 1, 0));
    let job = shop.engine.job(id).await.unwrap().0.unwrap();
    assert_eq!((job.status.state, job.status.attempt), (State::Available, 0));
    assert_eq!(ends(&job), [Interruption::Stop.as_str()]);
    let report = shop.engine.stop(&short, async {}).await;
    assert!(report.clean, "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn attempts_that_react_to_their_token_at_once_are_given_back_and_not_cancelled() {
    let shop = open(one(|context: AttemptContext, _: ()| async move {
        context.cancelled().await;
        Outcome::Cancel
    }));
    shop.engine.enqueue((0..50).map(|_| work()).collect()).await.unwrap();
    let all_run = async {
        while shop.engine.running() < 50 {
            tokio::task::yield_now().await;
        }
    };
    timeout(BOUND, all_run).await.expect("every job runs");
    let short = StopBounds { grace: Duration::from_millis(20), ..bounds() };
    let drained = shop.engine.drain(&short).await;
    assert_eq!((drained.finished, drained.interrupted), (0, 50));
}

#[tokio::test]
async fn a_second_signal_cuts_the_grace_short() {
    let mut shop = open(hang());
    let id = shop.submit(work()).await;
    shop.started(id).await;
    let (engine, shutdown) = (shop.engine.clone(), shop.shutdown.clone());
    let began = Instant::now();
    let stop = tokio::spawn(async move { engine.stop(&bounds(), async {}).await });
    shutdown.draining.cancelled().await;
    shutdown.abort.cancel();
    let report = stop.await.unwrap();
    assert!(began.elapsed() < BOUND / 2);
    assert_eq!((report.interrupted, report.clean), (1, true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_handler_that_cannot_be_stopped_does_not_hold_the_stop() {
    let (blocker, gate) = Blocker::new();
    let mut shop = open(one(move |_: AttemptContext, _: ()| {
        let gate = gate.clone();
        async move {
            block_on(&gate);
            Ok::<_, String>(())
        }
    }));
    let id = shop.submit(work()).await;
    shop.started(id).await;
    let short = StopBounds { grace: Duration::from_millis(20), ..bounds() };
    let began = Instant::now();
    let drained = shop.engine.drain(&short).await;
    assert_eq!((drained.interrupted, drained.stuck, drained.unsettled), (0, 1, 0));
    let state = shop.engine.job(id).await.unwrap().0.unwrap().status.state;
    assert_eq!(state, State::Running, "its end is not reported");
    let report = shop.engine.stop(&short, async {}).await;
    assert!(!report.clean, "{report:?}");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    blocker.let_go();
}

#[tokio::test]
async fn nothing_is_started_after_the_stop_began_but_jobs_are_still_accepted() {
    let shop = open(one(|_: AttemptContext, _: ()| async { Ok::<_, String>(()) }));
    shop.run(work()).await;
    let engine = shop.engine.clone();
    let (accepted, accepting) = tokio::sync::oneshot::channel();
    let request = async move {
        engine.shutdown().draining.cancelled().await;
        let late = work();
        let id = late.id;
        engine.enqueue(vec![late]).await.unwrap();
        let queue = job("work", "another");
        engine.enqueue(vec![queue]).await.unwrap();
        accepted.send(id).unwrap();
    };
    let store = shop.engine.parts.store.clone();
    let bounds = bounds();
    let drained = shop.engine.drain(&bounds);
    let (_, drained) = tokio::join!(request, drained);
    assert_eq!((drained.finished, drained.interrupted), (0, 0));
    let late = store.get(accepting.await.unwrap()).await.unwrap().0.unwrap();
    assert_eq!((late.status.state, late.history.len()), (State::Available, 0));
}

#[tokio::test]
async fn a_stop_waits_for_connections_but_not_for_ever() {
    let shop = open(Registry::default());
    let mut live = shop.engine.live();
    shop.shutdown.connections.spawn(async move { while live.recv().await.is_ok() {} });
    shop.shutdown.connections.spawn(std::future::pending::<()>());
    let short = StopBounds { connections: Duration::from_millis(50), ..bounds() };
    let report = shop.engine.stop(&short, async {}).await;
    assert_eq!((report.open_connections, report.clean), (1, true));
}

#[tokio::test]
async fn a_request_that_waits_for_a_job_is_answered_when_nothing_runs_any_more() {
    let mut shop = open(hang());
    let id = shop.submit(work()).await;
    shop.started(id).await;
    let short = StopBounds { grace: Duration::from_millis(20), requests: BOUND * 2, ..bounds() };
    let request = async {
        let job = shop.engine.wait_final(id, BOUND * 2).await.unwrap().unwrap();
        assert_eq!(job.status.state, State::Available);
    };
    let report = timeout(BOUND, shop.engine.stop(&short, request)).await.expect("no long wait");
    assert!(report.clean, "{report:?}");
}
