//! `GET /metrics`: the metrics of the server in the text format of OpenMetrics 1.0, which Prometheus reads.
//! All values are kept in memory, so no scrape examines jobs.

use std::fmt;
use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::extract::NoQuery;
use crate::engine::{Engine, LatencyTotals, Stats, Storage, Transport};
use crate::http::server::connections::Connections;
use crate::http::{Api, Problem};
use crate::job::{Schedule, ScheduleProblem, Time};
use crate::logging;

const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Returns the current values of all metrics.
pub async fn metrics(
    State(api): State<Api>,
    _: NoQuery,
    connections: Option<Extension<Arc<Connections>>>,
) -> Result<Response, Problem> {
    let stats = api.engine.stats().await?;
    let storage = api.engine.storage().await?;
    let (schedules, _) = api.engine.schedules().await?;
    let mut scrape = Scrape::default();
    scrape.jobs(&stats, &api.engine);
    scrape.work(&api.engine);
    scrape.schedules(&schedules);
    scrape.store(&storage);
    if let Some(Extension(connections)) = connections {
        scrape.connections(&connections, api.limits.max_connections);
    }
    let mut registry = Registry::default();
    registry.register_collector(Box::new(scrape));
    let mut text = String::new();
    match encode(&mut text, &registry) {
        Ok(()) => Ok(([(header::CONTENT_TYPE, MEDIA_TYPE)], text).into_response()),
        Err(error) => {
            let detail = error.to_string();
            Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail))
        }
    }
}

/// The metrics of one response.
#[derive(Debug, Default)]
struct Scrape(Vec<Metric>);

/// A metric with its values, one for each set of labels.
#[derive(Debug)]
struct Metric {
    name: &'static str,
    help: &'static str,
    values: Values,
}

#[derive(Debug)]
enum Values {
    /// A value that goes up and down.
    Gauge(Vec<(LabelSet, f64)>),
    /// A value that only increases while the process runs; `_total` is appended to its name.
    Counter(Vec<(LabelSet, u64)>),
    /// Durations in seconds, in buckets.
    Histogram(LatencyTotals),
}

type LabelSet = Vec<(&'static str, String)>;

impl Scrape {
    fn gauge(&mut self, name: &'static str, help: &'static str, value: f64) {
        self.gauges(name, help, vec![(LabelSet::new(), value)]);
    }

    fn gauges(&mut self, name: &'static str, help: &'static str, values: Vec<(LabelSet, f64)>) {
        self.0.push(Metric { name, help, values: Values::Gauge(values) });
    }

    fn counter(&mut self, name: &'static str, help: &'static str, value: u64) {
        let values = Values::Counter(vec![(LabelSet::new(), value)]);
        self.0.push(Metric { name, help, values });
    }

    fn jobs(&mut self, stats: &Stats, engine: &Engine) {
        let now = engine.now();
        let states = stats.states.iter();
        let jobs = states.map(|(state, n)| (vec![("state", state.to_string())], *n as f64));
        self.gauges("cortado_jobs", "Stored jobs, by state.", jobs.collect());
        let (mut counts, mut oldest) = (Vec::new(), Vec::new());
        let (mut paused, mut concurrency) = (Vec::new(), Vec::new());
        for (name, queue) in &stats.queues {
            let label = || ("queue", name.to_string());
            for (state, n) in &queue.states {
                counts.push((vec![label(), ("state", state.to_string())], *n as f64));
            }
            let age = queue.waiting_since.map_or(0.0, |since| seconds(now, since));
            oldest.push((vec![label()], age));
            paused.push((vec![label()], f64::from(u8::from(queue.settings.paused))));
            let view = engine.config().queue_view(name, queue);
            concurrency.push((vec![label()], view.concurrency as f64));
        }
        self.gauges("cortado_queue_jobs", "Stored jobs, by queue and state.", counts);
        let help = "Age of the oldest available job, in seconds since it became available; 0 if there is none.";
        self.gauges("cortado_queue_oldest_waiting_seconds", help, oldest);
        self.gauges("cortado_queue_paused", "1 if the queue is paused.", paused);
        let help = "Maximum number of attempts of the queue that run at once.";
        self.gauges("cortado_queue_concurrency", help, concurrency);
    }

    fn work(&mut self, engine: &Engine) {
        let events = engine.event_counts().into_iter();
        let events = events.map(|(kind, n)| (vec![("type", kind.to_string())], n)).collect();
        let help = "Events committed since the start of the process, by type.";
        self.0.push(Metric { name: "cortado_events", help, values: Values::Counter(events) });
        let (waits, runs) = engine.latency_totals();
        let help = "Time that jobs waited before an attempt started; sampled under very high load.";
        self.0.push(Metric {
            name: "cortado_wait_seconds",
            help,
            values: Values::Histogram(waits),
        });
        let help = "Duration of attempts; sampled under very high load.";
        self.0.push(Metric { name: "cortado_run_seconds", help, values: Values::Histogram(runs) });
        let running = engine.running() as f64;
        self.gauge("cortado_attempts_running", "Attempts running in this process.", running);
        let max = engine.config().max_running as f64;
        self.gauge("cortado_attempts_max", "Maximum number of attempts that run at once.", max);
        let subscribers = Transport::ALL.into_iter().map(|transport| {
            let label = vec![("transport", transport.as_str().to_owned())];
            (label, engine.subscriber_counts().of(transport) as f64)
        });
        let help = "Open subscriptions to events and job logs, by transport.";
        self.gauges("cortado_subscribers", help, subscribers.collect());
        let started = engine.starts().last().map_or(0.0, |at| at.millis() as f64 / 1e3);
        let help = "Time at which the process opened its store, in seconds since the Unix epoch.";
        self.gauge("cortado_start_time_seconds", help, started);
        let ready = engine.health().is_ok() && !engine.shutdown().draining.is_cancelled();
        let help = "1 if the server accepts work.";
        self.gauge("cortado_ready", help, f64::from(u8::from(ready)));
        let help = "1 if the server was started paused and has not been resumed.";
        self.gauge("cortado_paused", help, f64::from(u8::from(engine.is_paused())));
        let help = "Log lines dropped because they could not be written in time.";
        self.counter("cortado_log_dropped_lines", help, logging::dropped());
        let version = vec![("version", env!("CARGO_PKG_VERSION").to_owned())];
        self.gauges("cortado_info", "Version of the server.", vec![(version, 1.0)]);
    }

    fn schedules(&mut self, schedules: &[Schedule]) {
        self.gauge("cortado_schedules", "Schedules.", schedules.len() as f64);
        let problems = schedules.iter().filter_map(Schedule::problem);
        let unknown = problems.filter(|one| matches!(one, ScheduleProblem::UnknownZone(_)));
        let help = "Schedules that do not run because the machine does not know their time zone.";
        self.gauge("cortado_schedules_unknown_zone", help, unknown.count() as f64);
    }

    fn connections(&mut self, connections: &Connections, max: usize) {
        let open = connections.open() as f64;
        self.gauge("cortado_http_connections", "Open connections.", open);
        let help = "Maximum number of open connections.";
        self.gauge("cortado_http_connections_max", help, max as f64);
        let help = "Connections, and requests through trusted proxies, refused because their address had too many.";
        self.counter("cortado_http_connections_refused", help, connections.refused());
        let help = "Connections closed because the client read too slowly.";
        self.counter("cortado_http_connections_too_slow", help, connections.too_slow());
    }

    fn store(&mut self, storage: &Storage) {
        let Storage {
            disk_bytes,
            journal_bytes,
            journal_chunks,
            archive_runs,
            archived_jobs,
            accepted_bytes,
            written_bytes,
            groups,
            syncs,
            searches,
            log_reads,
            publish_p50_ns: _,
            publish_p99_ns,
        } = *storage;
        for (name, help, value) in [
            ("cortado_store_disk_bytes", "Size of the store on disk.", disk_bytes),
            ("cortado_store_journal_bytes", "Size of the journal on disk.", journal_bytes),
            ("cortado_store_journal_chunks", "Chunks in the journal.", journal_chunks),
            ("cortado_store_archive_runs", "Runs in the archive.", archive_runs),
            ("cortado_store_archived_jobs", "Jobs in the archive.", archived_jobs),
            ("cortado_store_searches", "Lists and searches of jobs in progress.", searches),
            ("cortado_store_log_reads", "Reads of the event log in progress.", log_reads),
        ] {
            self.gauge(name, help, value as f64);
        }
        let help = "Bytes of accepted events before compression, since the start of the process.";
        self.counter("cortado_store_accepted_bytes", help, accepted_bytes);
        let help = "Bytes written for accepted events; divided by cortado_store_accepted_bytes, the write amplification.";
        self.counter("cortado_store_written_bytes", help, written_bytes);
        self.counter(
            "cortado_store_groups",
            "Group commits since the start of the process.",
            groups,
        );
        self.counter("cortado_store_syncs", "Disk syncs since the start of the process.", syncs);
        let help = "CPU time the committer spends publishing a group commit, 99th percentile.";
        self.gauge("cortado_store_publish_seconds", help, publish_p99_ns as f64 / 1e9);
    }
}

fn seconds(now: Time, since: Time) -> f64 {
    now.since(since).as_secs_f64()
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        for Metric { name, help, values } in &self.0 {
            match values {
                Values::Gauge(values) => {
                    let mut metric =
                        encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
                    for (labels, value) in values {
                        with(&mut metric, labels, |metric| metric.encode_gauge(value))?;
                    }
                }
                Values::Counter(values) => {
                    let kind = MetricType::Counter;
                    let mut metric = encoder.encode_descriptor(name, help, None, kind)?;
                    for (labels, value) in values {
                        with(&mut metric, labels, |metric| {
                            metric.encode_counter::<NoLabelSet, _, u64>(value, None)
                        })?;
                    }
                }
                Values::Histogram(totals) => {
                    let kind = MetricType::Histogram;
                    let mut metric = encoder.encode_descriptor(name, help, None, kind)?;
                    let (sum, count) = (totals.sum_seconds(), totals.count());
                    metric.encode_histogram::<NoLabelSet>(sum, count, &totals.buckets(), None)?;
                }
            }
        }
        Ok(())
    }
}

/// Encodes a value with its labels, if it has any.
fn with(
    metric: &mut MetricEncoder<'_>,
    labels: &LabelSet,
    value: impl FnOnce(&mut MetricEncoder<'_>) -> fmt::Result,
) -> fmt::Result {
    if labels.is_empty() { value(metric) } else { value(&mut metric.encode_family(labels)?) }
}
