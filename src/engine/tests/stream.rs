//! The event stream of the engine: in order, without gaps, and notes before the end of their attempt.

use std::collections::HashSet;

use tokio::sync::broadcast::error::RecvError;

use super::faults::Faulty;
use super::*;

#[tokio::test]
async fn notes_are_stored_in_order_and_before_the_end() {
    let mut shop = open(one(|context: AttemptContext, _: ()| async move {
        for n in 0..50 {
            context.log(format!("line {n}"));
            if n == 25 {
                tokio::time::sleep(Duration::from_millis(150)).await; // so that some lines are stored midway
            }
        }
        context.progress(50, Some(50), None);
        Ok::<_, String>(())
    }));
    let id = shop.submit(work()).await;
    let mut lines = Vec::new();
    let mut progressed = false;
    let mut batches = 0;
    shop.event(|_, change| {
        match change {
            Change::Logged(more) => {
                batches += 1;
                lines.extend(more.iter().map(|line| line.text.to_string()));
            }
            Change::Progressed(progress) => progressed = progress.done == 50,
            Change::Completed { .. } => return Some(()),
            _ => {}
        }
        None
    })
    .await;
    let expected: Vec<String> = (0..50).map(|n| format!("line {n}")).collect();
    assert_eq!((lines, progressed), (expected, true));
    assert!((2..=5).contains(&batches), "{batches} batches");
    assert_eq!(shop.engine.job(id).await.unwrap().0.unwrap().log.len(), 50);
}

/// Reads to the end of the channel and asserts that no event is missing or duplicated.
async fn read_dense(mut live: Receiver<Arc<Batch>>) -> Vec<Event> {
    let mut events: Vec<Event> = Vec::new();
    loop {
        match timeout(BOUND, live.recv()).await.expect("the channel ends") {
            Ok(batch) => {
                assert!(!batch.events.is_empty());
                for event in batch.events.iter() {
                    assert_eq!(event.seq, events.last().map_or(1, |last| last.seq + 1));
                    events.push(event.clone());
                }
            }
            Err(RecvError::Closed) => return events,
            Err(RecvError::Lagged(_)) => panic!("the capacity of this test is too small"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_come_in_order_without_gaps_and_the_channel_ends_after_the_last() {
    let registry = one(|_: AttemptContext, _: ()| async { Ok::<_, String>(()) });
    let config = EngineConfig { stream_capacity: 100_000, ..quick() };
    let shop = open_on(memory(), registry, config);
    let reader = tokio::spawn(read_dense(shop.engine.live()));
    for _ in 0..20 {
        shop.engine.enqueue((0..50).map(|_| work()).collect()).await.unwrap();
    }
    let report = shop.engine.stop(&stopping::bounds(), async {}).await;
    assert!(report.clean, "{report:?}");
    let head = shop.engine.head().seq;
    let events = reader.await.unwrap();
    assert_eq!(events.last().unwrap().seq, head);
    let mut late = shop.engine.live();
    let end = timeout(BOUND, late.recv()).await.expect("a late subscriber sees the end too");
    assert_eq!(end.unwrap_err(), RecvError::Closed);
}

#[tokio::test]
async fn events_that_the_full_channel_dropped_are_mended_from_the_log() {
    let store = Faulty::new(memory());
    store.follow_at_most(1);
    let config = EngineConfig { stream_capacity: 100_000, ..quick() };
    let shop = open_on(store.clone(), Registry::default(), config);
    let reader = tokio::spawn(read_dense(shop.engine.live()));
    // No job may start, so that no later event reveals the dropped ones.
    shop.engine.pause(QueueName::default()).await.unwrap();
    // The test has a single thread, so the pump cannot run in between: the channel of one batch overflows, and the
    // last batch is among those dropped.
    let mut jobs = HashSet::new();
    for _ in 0..3_000 {
        let job = work();
        jobs.insert(job.id);
        store.enqueue(vec![job]).await.unwrap();
    }
    let head = store.head().seq;
    let mut live = shop.live;
    let caught_up = async { while live.recv().await.unwrap().last_seq() < head {} };
    timeout(BOUND, caught_up).await.expect("the dropped tail should arrive without a later event");
    for _ in 0..100 {
        let job = work();
        jobs.insert(job.id);
        store.enqueue(vec![job]).await.unwrap();
    }
    assert!(shop.engine.finish_stream(BOUND).await, "the last events are sent too");
    let events = reader.await.unwrap();
    for event in &events {
        if let Fact::Job { id, change: Change::Enqueued { .. }, .. } = &event.fact {
            jobs.remove(id);
        }
    }
    assert!(jobs.is_empty(), "{} events are missing", jobs.len());
}

#[tokio::test]
async fn many_wait_for_one_job_and_its_deletion_ends_the_wait() {
    let shop = open(one(|_: AttemptContext, _: ()| async { Ok::<_, String>(()) }));
    let queue = QueueName::default();
    shop.engine.pause(queue.clone()).await.unwrap();
    let (kept, gone) = (shop.submit(work()).await, shop.submit(work()).await);
    let wait = |id| {
        let engine = shop.engine.clone();
        tokio::spawn(async move { engine.wait_final(id, BOUND).await.unwrap() })
    };
    let waiters: Vec<_> = (0..100).map(|_| wait(kept)).collect();
    let deserted = wait(gone);
    let impatient = shop.engine.wait_final(kept, Duration::from_millis(1)).await.unwrap().unwrap();
    assert_eq!(impatient.status.state, State::Available);
    shop.engine.delete(gone).await.unwrap();
    assert!(deserted.await.unwrap().is_none());
    shop.engine.resume(queue).await.unwrap();
    for waiter in waiters {
        assert_eq!(waiter.await.unwrap().unwrap().status.state, State::Completed);
    }
    assert!(shop.engine.wait_final(JobId::generate(), BOUND).await.unwrap().is_none());
}
