//! The engine in one process: how fast it drains, and how soon a job starts.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cortado::internal::engine::{
    AttemptContext, Engine, EngineConfig, KindInfo, QueueConfig, Registry,
};
use cortado::internal::job::{Concurrency, Kind, NewJob, QueueName};
use cortado::internal::shutdown::{Shutdown, StopBounds};
use cortado::internal::store::StoreLimits;
use cortado::internal::store::log_store::LogStore;
use serde::de::IgnoredAny;
use tokio::sync::mpsc;

use super::figures::{Latencies, Table, median, per_second, rate};
use super::{Setup, baseline, store};

pub async fn measure(setup: &Setup, table: &mut Table) -> anyhow::Result<()> {
    let mut rates = Vec::new();
    for pass in 0..setup.passes {
        let (store, _) = store::fresh(&setup.dir, &format!("drain{pass}"), StoreLimits::default())?;
        let labels = store::labels("noop")?;
        rates.push(drain(store, setup.jobs, || store::job(&labels)).await?);
    }
    let name = format!("drain of {} no-op jobs, every settle durable", setup.jobs);
    table.row(name, format!("{} jobs", per_second(median(rates))));

    let (_, mut sync) = baseline::append(&setup.dir, 1_000, 1)?;
    let mut starts = latency(setup).await?;
    table.row("enqueue → start of the handler, idle", starts.words());
    table.row("· one fdatasync of one job", sync.words());
    Ok(())
}

fn engine(store: Arc<dyn cortado::internal::store::Store>, registry: Registry) -> Engine {
    let config = EngineConfig {
        default_queue: QueueConfig {
            concurrency: Concurrency::clamped(2_048),
            limit: None,
            weight: 1,
            rate_limit: None,
        },
        ..EngineConfig::default()
    };
    Engine::start(store, registry, config, Shutdown::default())
}

fn info(kind: &str) -> anyhow::Result<KindInfo> {
    let kind = Kind::parse(kind)?;
    Ok(KindInfo::plain(kind))
}

/// Runs jobs of the kind `noop` and returns how many of them per second.
pub async fn drain(
    store: Arc<LogStore>,
    jobs: usize,
    job: impl Fn() -> NewJob,
) -> anyhow::Result<f64> {
    let done = Arc::new(AtomicUsize::new(0));
    let counter = done.clone();
    let mut registry = Registry::default();
    registry.add(info("noop")?, move |_: AttemptContext, _: IgnoredAny| {
        counter.fetch_add(1, Ordering::Relaxed);
        std::future::ready(Ok::<(), String>(()))
    });
    let engine = engine(store, registry);
    engine.pause(QueueName::default()).await?;
    for _ in 0..jobs / 1_000 {
        engine.enqueue((0..1_000).map(|_| job()).collect()).await?;
    }
    let mut live = engine.live();
    let begun = Instant::now();
    engine.resume(QueueName::default()).await?;
    // A completed event is published after its commit, so its settle is on disk.
    let mut completed = 0;
    while completed < jobs {
        match live.recv().await {
            Ok(batch) => completed += count_completed(&batch.events),
            Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => {
                let stats = engine.stats().await?;
                completed = stats
                    .states
                    .get(&cortado::internal::job::State::Completed)
                    .copied()
                    .unwrap_or(0) as usize;
            }
            Err(error) => return Err(error.into()),
        }
    }
    let rate = rate(jobs, begun.elapsed());
    engine.stop(&StopBounds::default(), std::future::ready(())).await;
    Ok(rate)
}

fn count_completed(events: &[cortado::internal::job::Event]) -> usize {
    let is_end = |event: &&cortado::internal::job::Event| {
        event.event_type() == cortado::internal::job::EventType::JobCompleted
    };
    events.iter().filter(is_end).count()
}

async fn latency(setup: &Setup) -> anyhow::Result<Latencies> {
    let (store, _) = store::fresh(&setup.dir, "latency", StoreLimits::default())?;
    let (started, mut starts) = mpsc::unbounded_channel();
    let mut registry = Registry::default();
    registry.add(info("mark")?, move |_: AttemptContext, _: IgnoredAny| {
        let sent = started.send(Instant::now()).map_err(|error| error.to_string());
        std::future::ready(sent)
    });
    let engine = engine(store, registry);
    let labels = store::labels("mark")?;
    let mut latencies = Latencies::default();
    for _ in 0..setup.jobs / 100 {
        let sent = Instant::now();
        engine.enqueue(vec![store::job(&labels)]).await?;
        let Some(start) = starts.recv().await else { break };
        latencies.add(start.duration_since(sent));
        tokio::time::sleep(Duration::from_millis(2)).await; // idle again
    }
    engine.stop(&StopBounds::default(), std::future::ready(())).await;
    Ok(latencies)
}
