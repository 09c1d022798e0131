//! The store by itself: durable enqueueing, life cycles, and what a waiting job costs.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cortado::internal::clock::{Clock, SystemClock};
use cortado::internal::job::{
    Json, Kind, Labels, NewJob, QueueName, RetryPolicy, Spec, Start, Verdict, WorkerName,
};
use cortado::internal::store::data_dir;
use cortado::internal::store::log_store::LogStore;
use cortado::internal::store::{
    Claim, Keep, Retention, Settlement, Store, StoreLimits, WorkerPlace,
};

use super::figures::{Latencies, Table, disk, median, mib, per_second, rate, rss};
use super::{Setup, baseline};

const BATCH: usize = 1_000;
const CALLERS: usize = 1_000;

/// A new job with a payload of 100 bytes.
pub fn job(labels: &Arc<Labels>) -> NewJob {
    job_of(labels, 100)
}

/// A payload of this many bytes.
pub fn payload(bytes: usize) -> String {
    // Random, so that compression gains nothing that real payloads would not give.
    let data: String = std::iter::repeat_with(fastrand::alphanumeric).take(bytes - 11).collect();
    format!("{{\"data\":\"{data}\"}}")
}

/// A new job with a payload of this many bytes.
pub fn job_of(labels: &Arc<Labels>, bytes: usize) -> NewJob {
    let spec = Spec {
        payload: Json::parse(&payload(bytes)).unwrap_or_else(|_| Json::null()),
        priority: 0,
        retry: RetryPolicy::default(),
        timeout_ms: None,
        idempotency_key: None,
    };
    let id = cortado::internal::job::JobId::generate();
    let (labels, omitted) = (labels.clone(), Default::default());
    NewJob { id, labels, spec: Arc::new(spec), start: Start::Now, by: None, omitted }
}

pub fn labels(kind: &str) -> anyhow::Result<Arc<Labels>> {
    let kind = Kind::parse(kind)?;
    Ok(Arc::new(Labels { queue: QueueName::default(), kind, tags: Box::default() }))
}

fn batch(labels: &Arc<Labels>, count: usize) -> Vec<NewJob> {
    (0..count).map(|_| job(labels)).collect()
}

/// Opens a store in a fresh directory.
pub fn fresh(
    dir: &Path,
    name: &str,
    limits: StoreLimits,
) -> anyhow::Result<(Arc<LogStore>, PathBuf)> {
    let path = dir.join(name);
    if path.exists() {
        std::fs::remove_dir_all(&path)?;
    }
    let store = data_dir::open(&path, limits, Arc::new(SystemClock))?;
    Ok((store, path))
}

pub async fn measure(setup: &Setup, table: &mut Table) -> anyhow::Result<()> {
    let labels = labels("noop")?;
    let jobs = setup.jobs * 3;
    let (mut ours, mut bare, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for pass in 0..setup.passes {
        let (limit, _) = baseline::append(&setup.dir, jobs, BATCH)?;
        let (store, _) = fresh(&setup.dir, &format!("batch{pass}"), StoreLimits::default())?;
        let rate = enqueue_batches(&store, &labels, jobs, 4).await?;
        store.close().await?;
        ratios.push(rate / limit);
        ours.push(rate);
        bare.push(limit);
    }
    let (rate_, limit) = (median(ours), median(bare));
    table.row("durable enqueue, batches of 1,000", format!("{} jobs", per_second(rate_)));
    table.row("· bare append + fdatasync, same bytes", format!("{} jobs", per_second(limit)));
    table.row("· ratio", format!("{:.0} %", median(ratios) * 100.0));

    callers(setup, &labels, table).await?;
    life_cycles(setup, &labels, table).await
}

/// Enqueues in batches, a few callers at once, as a loaded server does.
async fn enqueue_batches(
    store: &Arc<LogStore>,
    labels: &Arc<Labels>,
    jobs: usize,
    callers: usize,
) -> anyhow::Result<f64> {
    // The jobs are made before the clock starts, so that only the store is measured.
    let mut ready: Vec<Vec<NewJob>> = (0..jobs / BATCH).map(|_| batch(labels, BATCH)).collect();
    let begun = Instant::now();
    let mut tasks = Vec::new();
    let share = ready.len().div_ceil(callers).max(1);
    for share in ready.chunks_mut(share) {
        let (store, share) =
            (store.clone(), share.iter_mut().map(std::mem::take).collect::<Vec<_>>());
        tasks.push(async move {
            for batch in share {
                store.enqueue(batch).await?;
            }
            anyhow::Ok(())
        });
    }
    let tasks: Vec<_> = tasks.into_iter().map(tokio::spawn).collect();
    for task in tasks {
        task.await??;
    }
    Ok(rate(jobs, begun.elapsed()))
}

/// Enqueues with many callers that have one job each.
async fn callers(setup: &Setup, labels: &Arc<Labels>, table: &mut Table) -> anyhow::Result<()> {
    let each = setup.jobs * 2 / CALLERS;
    let (mut rates, mut p99s, mut syncs, mut words) =
        (Vec::new(), Vec::new(), Vec::new(), String::new());
    for pass in 0..setup.passes {
        let (store, _) = fresh(&setup.dir, &format!("callers{pass}"), StoreLimits::default())?;
        let begun = Instant::now();
        let tasks: Vec<_> = (0..CALLERS)
            .map(|_| {
                let (store, labels) = (store.clone(), labels.clone());
                tokio::spawn(async move {
                    let mut acks = Latencies::default();
                    for _ in 0..each {
                        let sent = Instant::now();
                        store.enqueue(vec![job(&labels)]).await?;
                        acks.add(sent.elapsed());
                    }
                    anyhow::Ok(acks)
                })
            })
            .collect();
        let mut acks = Latencies::default();
        for task in tasks {
            acks.append(task.await??);
        }
        rates.push(rate(each * CALLERS, begun.elapsed()));
        store.close().await?;
        let (_, mut sync) = baseline::append(&setup.dir, 300 * 500, 500)?;
        p99s.push(acks.at(0.99));
        syncs.push(sync.at(0.99));
        words = format!("ack {}; one fdatasync {}", acks.words(), sync.words());
    }
    table.row(
        "durable enqueue, 1,000 callers, one job each",
        format!("{} jobs", per_second(median(rates))),
    );
    table.row("· last pass", words);
    table.row(
        "· p99 of an ack / p99 of an fdatasync",
        format!("{:.1}", median(p99s) / median(syncs)),
    );
    Ok(())
}

/// Enqueues, claims and completes with a short and a long backlog: the cost of a job must not grow.
async fn life_cycles(setup: &Setup, labels: &Arc<Labels>, table: &mut Table) -> anyhow::Result<()> {
    let me = std::process::id();
    let (small, large) = (setup.jobs / 10, setup.jobs * 10);
    let cycles = setup.jobs;
    let (store, path) = fresh(&setup.dir, "cycles", StoreLimits::default())?;
    enqueue_batches(&store, labels, small, 1).await?;
    cycle(&store, labels, cycles).await?; // warm
    let mut few = Vec::new();
    for _ in 0..setup.passes {
        few.push(cycle(&store, labels, cycles).await?);
    }
    let before = rss(me);
    let mut left = large - small;
    while left > 0 {
        let now = left.min(100_000);
        enqueue_batches(&store, labels, now, 1).await?;
        left -= now;
    }
    let each = (rss(me).saturating_sub(before)) as f64 / (large - small) as f64;
    let mut many = Vec::new();
    for _ in 0..setup.passes {
        many.push(cycle(&store, labels, cycles).await?);
    }
    let (few, many) = (median(few), median(many));
    table.row(
        format!("enqueue → claim → complete, {small} waiting"),
        format!("{} jobs", per_second(few)),
    );
    table.row(
        format!("enqueue → claim → complete, {large} waiting"),
        format!("{} jobs", per_second(many)),
    );
    table.row("· cost per job, many / few waiting", format!("{:.2}", few / many));
    table.row("· memory per waiting job", format!("{each:.0} bytes"));
    settle_down(&store).await?;
    store.close().await?;
    drop(store);
    let finished = cycles * (1 + 2 * setup.passes);
    let opened = Instant::now();
    let store = data_dir::open(&path, StoreLimits::default(), Arc::new(SystemClock))?;
    table.row(
        format!("open with {large} waiting and {finished} finished"),
        format!("{:.1} s", opened.elapsed().as_secs_f64()),
    );
    table.row("· on disk", mib(disk(&path)));
    store.close().await?;
    Ok(())
}

/// Passes `jobs` jobs through the store: it enqueues batches while as many jobs are claimed and settled.
async fn cycle(store: &Arc<LogStore>, labels: &Arc<Labels>, jobs: usize) -> anyhow::Result<f64> {
    let begun = Instant::now();
    let filling = enqueue_batches(store, labels, jobs, 1);
    let kinds = Arc::new(BTreeSet::from([labels.kind.clone()]));
    let draining = async {
        let tasks: Vec<_> =
            (0..4).map(|_| tokio::spawn(drain(store.clone(), kinds.clone(), jobs / 4))).collect();
        for task in tasks {
            task.await??;
        }
        anyhow::Ok(())
    };
    let (filled, drained) = tokio::join!(filling, draining);
    filled?;
    drained?;
    Ok(rate(jobs, begun.elapsed()))
}

async fn drain(
    store: Arc<LogStore>,
    kinds: Arc<BTreeSet<Kind>>,
    jobs: usize,
) -> anyhow::Result<()> {
    let mut left = jobs;
    while left > 0 {
        let claim = Claim {
            queues: vec![QueueName::default()],
            kinds: kinds.clone(),
            max: left.min(256),
            worker: WorkerName::parse("bench")?,
            place: WorkerPlace::InProcess,
            ttl: Duration::from_secs(60),
        };
        let leases = store.claim(claim).await?.leases;
        if leases.is_empty() {
            store.wake(&QueueName::default()).notified().await;
            continue;
        }
        left -= leases.len();
        let done = leases.iter().map(|lease| Settlement {
            lease: lease.key(),
            verdict: Verdict::Completed { result: Json::null() },
        });
        for settled in store.settle(done.collect()).await? {
            settled?;
        }
    }
    Ok(())
}

/// Ticks as a server does, until retention has nothing left to do.
async fn settle_down(store: &Arc<LogStore>) -> anyhow::Result<()> {
    while store.tick().await?.next.is_some_and(|next| next <= SystemClock.now()) {}
    Ok(())
}

/// Passes ten million jobs through the store and prunes the finished ones: memory and disk use must not grow.
pub async fn long(setup: &Setup, table: &mut Table) -> anyhow::Result<()> {
    let labels = labels("noop")?;
    let keep = Keep { age: Duration::from_secs(3_600), count: 100_000 };
    let retention = Retention { completed: keep, events: keep, ..Retention::default() };
    let limits = StoreLimits { retention, tick_step: 10_000, ..StoreLimits::default() };
    let (store, path) = fresh(&setup.dir, "long", limits)?;
    let step = setup.jobs;
    let mut early = 0;
    let begun = Instant::now();
    for round in 1..=100 {
        cycle(&store, &labels, step).await?;
        settle_down(&store).await?;
        if round == 10 {
            early = rss(std::process::id());
        }
        if round % 10 == 0 {
            let figure = format!("RSS {}, disk {}", mib(rss(std::process::id())), mib(disk(&path)));
            table.row(format!("after {} jobs", round * step), figure);
        }
    }
    let late = rss(std::process::id());
    table.row("memory, last / first tenth", format!("{:.2}", late as f64 / early as f64));
    table.row("rate", format!("{} jobs", per_second(rate(100 * step, begun.elapsed()))));
    store.close().await?;
    Ok(())
}
