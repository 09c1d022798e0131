//! The limits of concurrent attempts and of rates, and how queues share the slots.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Semaphore;
use tokio::task::yield_now;

use super::faults::Faulty;
use super::*;
use crate::job::{Concurrency, RateRule};

fn queue(name: &str, concurrency: i64, weight: u32) -> (QueueName, QueueConfig) {
    let concurrency = Concurrency::clamped(concurrency);
    (
        QueueName::parse(name).unwrap(),
        QueueConfig { concurrency, limit: None, weight, rate_limit: None },
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_never_runs_more_than_its_concurrency() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let seen = most.clone();
    let registry = one(move |_: AttemptContext, _: ()| {
        let (now, most) = (now.clone(), most.clone());
        async move {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            yield_now().await;
            now.fetch_sub(1, Ordering::SeqCst);
            Ok::<_, String>(())
        }
    });
    let config = EngineConfig { queues: vec![queue("narrow", 3, 1)], ..quick() };
    let shop = open_on(memory(), registry, config);
    let jobs: Vec<NewJob> = (0..500).map(|_| job("work", "narrow")).collect();
    let ids: Vec<JobId> = jobs.iter().map(|job| job.id).collect();
    shop.engine.enqueue(jobs).await.unwrap();
    for id in ids {
        shop.finish(id).await;
    }
    assert_eq!(seen.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_slot_is_free_once_the_end_of_its_attempt_was_submitted() {
    let store = Faulty::new(memory());
    let (ran, held) = (Arc::new(Semaphore::new(0)), store.settle_gate.acquire().await.unwrap());
    let runs = ran.clone();
    let registry = one(move |_: AttemptContext, _: ()| {
        runs.add_permits(1);
        async { Ok::<_, String>(()) }
    });
    let config = EngineConfig { max_running: 1, ..quick() };
    let shop = open_on(store.clone(), registry, config);
    let jobs = [job("work", "default"), job("work", "default")];
    let ids = [jobs[0].id, jobs[1].id];
    shop.engine.enqueue(jobs.to_vec()).await.unwrap();
    // The store has not answered the first end when the second job runs.
    ran.acquire_many(2).await.unwrap().forget();
    drop(held);
    for id in ids {
        shop.finish(id).await;
    }
}

#[tokio::test]
async fn queues_that_compete_share_the_process_by_weight() {
    let starts = Arc::new(Mutex::new(Vec::new()));
    let seen = starts.clone();
    let registry = one(move |context: AttemptContext, _: ()| {
        seen.lock().unwrap().push(context.job().labels.queue.clone());
        async { Ok::<_, String>(()) }
    });
    let queues = vec![queue("light", 10, 1), queue("heavy", 10, 3)];
    let store = memory();
    let jobs: Vec<NewJob> = (0..800).map(|n| job("work", ["light", "heavy"][n % 2])).collect();
    let last: Vec<JobId> = jobs.iter().map(|job| job.id).rev().take(2).collect();
    store.enqueue(jobs).await.unwrap();
    let config = EngineConfig { queues, max_running: 2, ..quick() };
    let shop = open_on(store, registry, config);
    for id in last {
        shop.finish(id).await;
    }
    // The first 400 starts, during which both queues have work.
    let starts = starts.lock().unwrap();
    let light = starts[..400].iter().filter(|queue| queue.as_str() == "light").count();
    assert!((80..=120).contains(&light), "{light} of 400 for a quarter of the weight");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_jobs_sleep_at_once() {
    const MANY: usize = 10_000;
    let awake = Arc::new(Semaphore::new(0));
    let inside = Arc::new(AtomicUsize::new(0));
    let all_in = Arc::new(tokio::sync::Notify::new());
    let registry = one({
        let (awake, inside, all_in) = (awake.clone(), inside.clone(), all_in.clone());
        move |_: AttemptContext, _: ()| {
            let (awake, inside, all_in) = (awake.clone(), inside.clone(), all_in.clone());
            async move {
                if inside.fetch_add(1, Ordering::SeqCst) + 1 == MANY {
                    all_in.notify_one();
                }
                awake.acquire().await.map(drop).map_err(|error| error.to_string())
            }
        }
    });
    let concurrency = Concurrency::clamped(MANY as i64);
    let default_queue = QueueConfig { concurrency, limit: None, weight: 1, rate_limit: None };
    let shop = open_on(memory(), registry, EngineConfig { default_queue, ..quick() });
    let jobs: Vec<NewJob> = (0..MANY).map(|_| work()).collect();
    let ids: Vec<JobId> = jobs.iter().map(|job| job.id).collect();
    shop.engine.enqueue(jobs).await.unwrap();
    timeout(BOUND, all_in.notified()).await.expect("all run at once");
    assert_eq!(shop.engine.running(), MANY);
    awake.add_permits(MANY);
    for id in ids {
        assert_eq!(shop.finish(id).await.status.state, State::Completed);
    }
}

#[tokio::test]
async fn a_queue_begins_with_its_first_job_and_stops_while_paused() {
    let mut shop = open(one(|_: AttemptContext, _: ()| async { Ok::<_, String>(()) }));
    let quiet = QueueName::parse("quiet").unwrap();
    shop.engine.pause(quiet.clone()).await.unwrap();
    let held = shop.submit(job("work", "quiet")).await;
    assert_eq!(shop.run(job("work", "brand-new")).await.status.state, State::Completed);
    let status = shop.engine.job(held).await.unwrap().0.unwrap().status;
    assert_eq!((status.state, status.attempt), (State::Available, 0));
    shop.engine.resume(quiet).await.unwrap();
    shop.started(held).await;
    shop.finish(held).await;
}

#[tokio::test]
async fn a_queue_never_starts_more_than_its_rate_limit() {
    let registry = one(|_: AttemptContext, _: ()| async { Ok::<_, String>(()) });
    let limit = RateLimit { starts: 3, within: Duration::from_millis(80) };
    let (name, paced) = queue("paced", 10, 1);
    let queues = vec![(name, QueueConfig { rate_limit: Some(limit), ..paced })];
    let config = EngineConfig { queues, ..quick() };
    let shop = open_on(memory_with_limits(&config), registry, config);
    let jobs: Vec<NewJob> = (0..10).map(|_| job("work", "paced")).collect();
    let ids: Vec<JobId> = jobs.iter().map(|job| job.id).collect();
    shop.engine.enqueue(jobs).await.unwrap();
    let mut starts = Vec::new();
    for id in ids {
        starts.push(shop.finish(id).await.attempts()[0].started_at);
    }
    starts.sort();
    for four in starts.windows(4) {
        assert!(four[3].since(four[0]) >= limit.within, "{starts:?}");
    }
}

#[tokio::test]
async fn a_job_that_waits_for_the_rate_limit_of_its_queue_shows_that_reason() {
    let registry = one(|_: AttemptContext, _: ()| async { Ok::<_, String>(()) });
    let limit = RateLimit { starts: 1, within: Duration::from_secs(3_600) };
    let (name, paced) = queue("paced", 10, 1);
    let queues = vec![(name, QueueConfig { rate_limit: Some(limit), ..paced })];
    let config = EngineConfig { queues, ..quick() };
    let shop = open_on(memory_with_limits(&config), registry, config);
    let jobs = [job("work", "paced"), job("work", "paced")];
    let [first, second] = [jobs[0].id, jobs[1].id];
    shop.engine.enqueue(jobs.to_vec()).await.unwrap();
    shop.finish(first).await;
    let waits = shop.engine.job(second).await.unwrap().0.unwrap();
    let why = shop.engine.wait_reason(&waits).await.unwrap().unwrap();
    assert_eq!((why.code(), why.ahead()), ("rate_reached", Some(0)));
    assert!(
        why.to_string().starts_with("Queue paced is limited to 1 start per hour. Next start: "),
        "{why}"
    );
}

#[tokio::test]
async fn a_rate_set_at_run_time_is_in_force_at_once_and_after_a_restart() {
    let registry = || one(|_: AttemptContext, _: ()| async { Ok::<_, String>(()) });
    let hourly = |starts| RateLimit { starts, within: Duration::from_secs(3_600) };
    let (name, paced) = queue("paced", 10, 1);
    let config = || EngineConfig {
        queues: vec![(name.clone(), QueueConfig { rate_limit: Some(hourly(1)), ..paced })],
        ..quick()
    };
    let store = memory_with_limits(&config());
    let shop = open_on(store.clone(), registry(), config());
    let ids = submit_paced(&shop, 4).await;
    shop.finish(ids[0]).await;
    // The dispatcher waits for the next hour. The new limit wakes it, and earlier starts still count.
    shop.engine.set_rate_limit(name.clone(), Some(RateRule::Limit(hourly(2)))).await.unwrap();
    shop.finish(ids[1]).await;
    let waits = shop.engine.job(ids[2]).await.unwrap().0.unwrap();
    let why = shop.engine.wait_reason(&waits).await.unwrap().unwrap();
    assert!(
        why.to_string().starts_with("Queue paced is limited to 2 starts per hour. Next start: "),
        "{why}"
    );

    // They also count after a restart, against the limit that was set.
    let next = open_on(store.restarted(), registry(), config());
    let reached = async |id: JobId| {
        let job = next.engine.job(id).await.unwrap().0.unwrap();
        let why = next.engine.wait_reason(&job).await.unwrap();
        why.filter(|why| why.code() == "rate_reached").map(|why| why.to_string())
    };
    let waits = async {
        while reached(ids[2]).await.is_none() {
            yield_now().await;
        }
    };
    timeout(BOUND, waits).await.expect("it does not wait for its queue's rate");
    next.engine.set_rate_limit(name.clone(), Some(RateRule::Limit(hourly(3)))).await.unwrap();
    next.finish(ids[2]).await;
    assert!(reached(ids[3]).await.is_some());
    let view = async || {
        let stats = next.engine.stats().await.unwrap();
        let view = next.engine.config().queue_view(&name, &stats.queues[&name]);
        (view.rate_limit, view.configured_rate_limit)
    };
    assert_eq!(view().await, (Some(hourly(3)), Some(hourly(1))));

    next.engine.set_rate_limit(name.clone(), Some(RateRule::Unlimited)).await.unwrap();
    next.finish(ids[3]).await;
    assert_eq!(view().await, (None, Some(hourly(1))));
    next.engine.set_rate_limit(name.clone(), None).await.unwrap();
    assert_eq!(view().await, (Some(hourly(1)), Some(hourly(1))));
}

async fn submit_paced(shop: &Shop, count: usize) -> Vec<JobId> {
    let jobs: Vec<NewJob> = (0..count).map(|_| job("work", "paced")).collect();
    let ids = jobs.iter().map(|job| job.id).collect();
    shop.engine.enqueue(jobs).await.unwrap();
    ids
}
