//! Remote workers in the engine: what a stop leaves them, and what is logged about their attempts.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use super::faults::Faulty;
use super::*;
use crate::access::{AccessCommand, NewLink};
use crate::clock::ManualClock;
use crate::job::{LinkSubject, Origin, ScheduleName, Time, WorkerName};
use crate::logging::retry_log::testing::LoggedLines;
use crate::shutdown::StopBounds;

/// A claim of one job of the kind `work` for a worker in another process.
async fn claim(engine: &Engine, lease: Duration) -> String {
    let kinds = Arc::new(BTreeSet::from([Kind::parse("work").unwrap()]));
    let interest = Arc::new(Interest { queues: [QueueName::default()].into(), kinds });
    let registration = WorkerRegistration {
        interest,
        lease,
        about: None,
        transport: WorkerTransport::Http,
        caller: WorkerCaller::default(),
    };
    let request = ClaimRequest { registration, max: 1, wait: BOUND };
    let worker = WorkerName::parse("web-1").unwrap();
    let answer = timeout(BOUND, engine.claim_for(&worker, request)).await.unwrap().unwrap();
    answer.grants.send().remove(0).lease
}

/// The report that attempts are done.
fn done(leases: &[&str]) -> WorkerUpdate {
    let settle = |lease: &&str| {
        let end = Ok(AttemptEnding::Reached(Outcome::Done(Json::null())));
        WorkerSettle { lease: (*lease).to_owned(), end }
    };
    let settles = leases.iter().map(settle).collect();
    WorkerUpdate { settles, ..WorkerUpdate::default() }
}

async fn settle(engine: &Engine, lease: String) -> SettleAnswer {
    engine.update_leases(done(&[&lease])).await.unwrap().settles.remove(0).answer
}

/// Begins something that ends attempts, and drops it while the store has not carried that out. The store does so after that.
async fn abandon<T>(store: &Faulty, ends_attempts: impl Future<Output = T>) {
    store.settle_gate.forget_permits(1);
    store.calls.lock().unwrap().clear();
    let begun = async {
        while store.calls.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        _ = ends_attempts => panic!("the store has not carried it out"),
        begun = timeout(BOUND, begun) => begun.unwrap(),
    }
    store.settle_gate.add_permits(1);
}

#[tokio::test]
async fn a_report_and_a_sign_off_that_are_abandoned_are_carried_out() {
    let store = Faulty::new(memory());
    let shop = open_on(store.clone(), Registry::default(), quick());
    let reaches = async |id: JobId, state: State| {
        let reached = async {
            loop {
                let job = store.get(id).await.unwrap().0.unwrap();
                if job.status.state == state && shop.engine.remote_attempts(10).1 == 0 {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        timeout(BOUND, reached).await.unwrap_or_else(|_| panic!("it is never {state:?}"));
    };
    let id = shop.submit_unchecked(work()).await;
    let lease = claim(&shop.engine, Duration::from_secs(60)).await;
    abandon(&store, shop.engine.update_leases(done(&[&lease]))).await;
    reaches(id, State::Completed).await;
    let id = shop.submit_unchecked(work()).await;
    claim(&shop.engine, Duration::from_secs(60)).await;
    let worker = WorkerName::parse("web-1").unwrap();
    abandon(&store, shop.engine.sign_off(&worker)).await;
    reaches(id, State::Available).await;
}

#[tokio::test]
async fn a_report_that_fails_midway_leaves_the_timeouts_of_its_attempts() {
    let store = Faulty::new(memory());
    let shop = open_on(store.clone(), Registry::default(), quick());
    let secs = Duration::from_secs(60);
    shop.submit_unchecked(work()).await;
    let ended = claim(&shop.engine, secs).await;
    settle(&shop.engine, ended.clone()).await;
    let id = shop.submit_unchecked(work_within(300)).await;
    let lease = claim(&shop.engine, secs).await;
    store.gets.store(1, Ordering::SeqCst);
    let failed = shop.engine.update_leases(done(&[&lease, &ended])).await;
    assert!(matches!(failed, Err(StoreError::Unavailable(_))), "{failed:?}");
    let timed_out = async {
        while store.get(id).await.unwrap().0.unwrap().status.state == State::Running {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(BOUND, timed_out).await.expect("it runs for ever");
}

#[tokio::test]
async fn the_leases_of_workers_outlast_a_stop_and_not_much_more() {
    let secs = Duration::from_secs;
    let clock = Arc::new(ManualClock::at(Time::from_millis(1_800_000_000_000)));
    let store = MemoryStore::new(StoreLimits::default(), clock.clone());
    let shop = open_with_clock(store.clone(), Registry::default(), quick(), clock.clone());
    let id = shop.submit_unchecked(work()).await;
    claim(&shop.engine, secs(10)).await;
    let bounds = StopBounds { grace: secs(20), settle: secs(5), ..StopBounds::default() };
    shop.engine.drain(&bounds).await;
    let state = async || store.get(id).await.unwrap().0.unwrap().status.state;
    clock.advance(secs(34));
    store.tick().await.unwrap();
    assert_eq!(state().await, State::Running, "the stop may take 25 s, and the lease lasts 10 s");
    clock.advance(secs(2));
    store.tick().await.unwrap();
    assert_eq!(state().await, State::Available, "nobody has extended it after that");
}

#[tokio::test]
async fn the_end_of_an_outage_is_logged_when_an_attempt_was_ended_and_not_before() {
    let (lines, _guard) = LoggedLines::catch();
    let store = Faulty::new(memory());
    let shop = open_on(store.clone(), Registry::default(), quick());
    let what = "ending attempts of remote workers";
    let logged = async |text: &str, count: usize| {
        let text = format!("{what} {text}");
        let waits = async {
            while lines.having(&text).len() < count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(BOUND, waits).await.unwrap_or_else(|_| panic!("{:#?}", lines.having("")));
    };
    store.settles.store(1, Ordering::SeqCst);
    shop.submit_unchecked(work_within(20)).await;
    let lease = claim(&shop.engine, Duration::from_secs(60)).await;
    logged("failed", 1).await;
    // The worker itself ends the attempt before the next try, which then has nothing to do.
    assert!(matches!(settle(&shop.engine, lease).await, SettleAnswer::Settled(_)));
    store.settles.store(1, Ordering::SeqCst);
    shop.submit_unchecked(work_within(2_500)).await;
    claim(&shop.engine, Duration::from_secs(60)).await;
    logged("works again", 1).await;
    let works = lines.having(&format!("{what} works again"));
    assert!(works.len() == 1 && works[0].contains("failed_tries=2"), "{:#?}", lines.having(""));
    assert_eq!(lines.having(&format!("{what} failed")).len(), 1, "{:#?}", lines.having(""));
}

#[tokio::test]
async fn the_end_of_an_outage_is_logged_when_a_link_was_revoked_and_not_before() {
    let (lines, _guard) = LoggedLines::catch();
    let store = Faulty::new(memory());
    let shop = open_on(store.clone(), Registry::default(), quick());
    let what = "revoking links to deleted jobs";
    let logged = async |text: &str| {
        let text = format!("{what} {text}");
        let waits = async {
            while lines.having(&text).is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(BOUND, waits).await.unwrap_or_else(|_| panic!("{:#?}", lines.having("")));
    };
    let share = async || {
        let subject = LinkSubject::Job(JobId::generate()); // there is no such job
        let new = NewLink::generate(subject, shop.engine.now().after(BOUND)).unwrap();
        let id = new.id.clone();
        shop.engine.parts.store.access(AccessCommand::AddLink(new), None).await.unwrap();
        id
    };
    // The first call adds the link, and the one of the loop fails.
    let first = share_failing(&store, share).await;
    logged("failed").await;
    // Somebody else revokes it before the next try, which then has nothing to do.
    shop.engine.access(AccessCommand::RevokeLink(first)).await.unwrap();
    share_failing(&store, share).await;
    logged("works again").await;
    let works = lines.having(&format!("{what} works again"));
    assert!(works.len() == 1 && works[0].contains("failed_tries=2"), "{:#?}", lines.having(""));
    assert_eq!(lines.having(&format!("{what} failed")).len(), 1, "{:#?}", lines.having(""));
}

/// Adds a link whose first revocation fails. Nothing runs between the two steps, because the test has only one thread.
async fn share_failing<T, F: Future<Output = T>>(store: &Faulty, share: impl Fn() -> F) -> T {
    let shared = share().await;
    store.accesses.store(1, Ordering::SeqCst);
    shared
}

#[tokio::test]
async fn a_start_waits_for_the_declared_schedules_but_not_for_a_store_that_fails() {
    let submission = ScheduleSubmission {
        cron: "@yearly".into(),
        kind: "work".into(),
        ..ScheduleSubmission::default()
    };
    let spec = submission.into_spec(Origin::Config, &Kinds::default(), SystemClock.now()).unwrap();
    let schedules = vec![(ScheduleName::parse("yearly").unwrap(), spec)];
    let stored = async |shop: &Shop| shop.engine.schedules().await.unwrap().0.len();
    let config = EngineConfig { schedules, ..quick() };
    let shop = open_on(memory(), Registry::default(), config.clone());
    timeout(BOUND, shop.engine.declared_schedules_tried()).await.unwrap();
    assert_eq!(stored(&shop).await, 1);

    let store = Faulty::new(memory());
    store.schedules.store(1, Ordering::SeqCst);
    let mut shop = open_on(store, Registry::default(), config.clone());
    timeout(BOUND, shop.engine.declared_schedules_tried()).await.unwrap();
    assert_eq!(stored(&shop).await, 0);
    let is_about_it = |event: &Event| matches!(event.fact, Fact::Schedule { .. });
    timeout(BOUND, async {
        while !shop.live.recv().await.unwrap().events.iter().any(is_about_it) {}
    })
    .await
    .unwrap();
    assert_eq!(stored(&shop).await, 1, "it is tried again");

    let paused = open_on(memory(), Registry::default(), EngineConfig { paused: true, ..config });
    timeout(BOUND, paused.engine.declared_schedules_tried()).await.unwrap();
    assert_eq!(stored(&paused).await, 0);
}

impl Shop {
    /// Submits a job although no handler of this process runs it.
    async fn submit_unchecked(&self, job: NewJob) -> JobId {
        let id = job.id;
        self.engine.parts.store.enqueue(vec![job]).await.unwrap();
        id
    }
}
