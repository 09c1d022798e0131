//! `GET /metrics`: the metrics of the server, for Prometheus and other scrapers. docs/metrics.md lists them. All values
//! are kept in memory, so no scrape examines jobs.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};

use exposition::{ExpositionFormat, LabelSet, MetricFamily, MetricSamples};

use super::extract::NoQuery;
use crate::engine::{
    Engine, HistogramTotals, InboxFigures, ProjectionFigures, QueueStats, RemoteTotals, Stats,
    Storage, Transport,
};
use crate::http::access::Authenticator;
use crate::http::layers::login_limiter::LoginLimiter;
use crate::http::server::connections::Connections;
use crate::http::{Api, Problem};
use crate::job::{QueueName, Schedule, ScheduleProblem, State as JobState, Time};
use crate::logging;

mod exposition;

/// The value of the label `queue` for all queues beyond `http.metrics_queues`. No queue can have this name.
const OTHER_QUEUES: &str = "(other)";

/// Returns the current values of all metrics.
pub async fn metrics(
    State(api): State<Api>,
    _: NoQuery,
    connections: Option<Extension<Arc<Connections>>>,
    auth: Option<Extension<Arc<Authenticator>>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let stats = api.engine.stats().await?;
    let storage = api.engine.storage().await?;
    let (schedules, _) = api.engine.schedules().await?;
    let mut scrape = Scrape::default();
    scrape.jobs(&stats, &api.engine, api.limits.metrics_queues);
    scrape.work(&api.engine);
    scrape.workers(&api.engine.remote_totals());
    scrape.schedules(&schedules);
    scrape.store(&storage);
    if let Some(inbox) = api.engine.inbox_figures().await? {
        scrape.inbox(inbox);
    }
    if let Some(projection) = api.engine.projection_figures().await? {
        scrape.projection(&projection);
    }
    if let Some(Extension(connections)) = connections {
        scrape.connections(&connections, api.limits.max_connections);
    }
    if let Some(Extension(auth)) = auth.filter(|auth| auth.is_required()) {
        scrape.logins(&auth.limiter);
    }
    let format = ExpositionFormat::accepted(&headers);
    let mut response = format.encode(&scrape.0).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(format.media_type()));
    headers.append(header::VARY, HeaderValue::from_static("accept"));
    Ok(response)
}

/// The metrics of one response.
#[derive(Debug, Default)]
struct Scrape(Vec<MetricFamily>);

impl Scrape {
    fn gauge(&mut self, name: &'static str, help: &'static str, value: f64) {
        self.gauges(name, help, vec![(LabelSet::new(), value)]);
    }

    fn gauges(&mut self, name: &'static str, help: &'static str, values: Vec<(LabelSet, f64)>) {
        self.0.push(MetricFamily { name, help, samples: MetricSamples::Gauge(values) });
    }

    fn counter(&mut self, name: &'static str, help: &'static str, value: u64) {
        self.counters(name, help, vec![(LabelSet::new(), value)]);
    }

    fn counters(&mut self, name: &'static str, help: &'static str, values: Vec<(LabelSet, u64)>) {
        self.0.push(MetricFamily { name, help, samples: MetricSamples::Counter(values) });
    }

    fn histogram(&mut self, name: &'static str, help: &'static str, totals: HistogramTotals) {
        self.0.push(MetricFamily { name, help, samples: MetricSamples::Histogram(totals) });
    }

    fn jobs(&mut self, stats: &Stats, engine: &Engine, most: usize) {
        let now = engine.now();
        let states = stats.states.iter();
        let jobs = states.map(|(state, n)| (vec![("state", state.to_string())], *n as f64));
        self.gauges("cortado_jobs", "Stored jobs, by state.", jobs.collect());
        self.gauge("cortado_queues", "Number of queues.", stats.queues.len() as f64);
        let (mut counts, mut oldest) = (Vec::new(), Vec::new());
        let (mut paused, mut concurrency) = (Vec::new(), Vec::new());
        for (name, queue) in stats.queues.iter().take(most) {
            let label = || ("queue", name.to_string());
            counts.extend(by_state(name.as_str(), &queue.states));
            oldest.push((vec![label()], waiting_seconds(queue, now)));
            paused.push((vec![label()], f64::from(u8::from(queue.settings.paused))));
            if let Some(limit) = queue.concurrency {
                concurrency.push((vec![label()], limit.get() as f64));
            }
        }
        if let Some((states, age)) = others(stats.queues.iter().skip(most), now) {
            counts.extend(by_state(OTHER_QUEUES, &states));
            oldest.push((vec![("queue", OTHER_QUEUES.to_owned())], age));
        }
        self.gauges("cortado_queue_jobs", "Stored jobs, by queue and state.", counts);
        let help = "Age of the oldest available job, in seconds since it became available; 0 if there is none.";
        self.gauges("cortado_queue_oldest_waiting_seconds", help, oldest);
        self.gauges("cortado_queue_paused", "1 if the queue is paused.", paused);
        let help = "Maximum number of attempts of the queue that run at once, over all workers; absent without a limit.";
        self.gauges("cortado_queue_concurrency", help, concurrency);
    }

    fn work(&mut self, engine: &Engine) {
        let events = engine.event_counts().into_iter();
        let events = events.map(|(kind, n)| (vec![("type", kind.to_string())], n)).collect();
        let help = "Events committed since the start of the process, by type.";
        self.counters("cortado_events", help, events);
        let help = "Time from a request to store jobs until they were durable.";
        self.histogram("cortado_enqueue_seconds", help, engine.enqueue_times());
        let (waits, runs) = engine.latency_totals();
        let help = "Time that jobs were available before an attempt started; sampled under very high load.";
        self.histogram("cortado_wait_seconds", help, waits.histogram());
        let help = "Duration of attempts; sampled under very high load.";
        self.histogram("cortado_run_seconds", help, runs.histogram());
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
        let started = engine.started_at().map_or(0.0, |at| at.millis() as f64 / 1e3);
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

    /// What workers in other processes do. There are no series per worker, whose number has no useful bound.
    fn workers(&mut self, totals: &RemoteTotals) {
        let states = totals.states.iter();
        let states =
            states.map(|(state, n)| (vec![("state", state.as_str().to_owned())], *n as f64));
        let help = "Workers in other processes, by state.";
        self.gauges("cortado_workers", help, states.collect());
        let help = "Attempts running in other processes.";
        self.gauge("cortado_worker_attempts_running", help, totals.running as f64);
        let help = "Claims of workers in other processes that wait for jobs.";
        self.gauge("cortado_worker_claims_waiting", help, totals.waiting as f64);
        let help = "Attempts started in other processes.";
        self.counter("cortado_worker_attempts_started", help, totals.counts.started);
        let ended = totals.counts.ended.iter();
        let ended = ended.map(|(end, n)| (vec![("outcome", end.as_str().to_owned())], *n));
        let help = "Attempts in other processes that have ended, by how they ended.";
        self.counters("cortado_worker_attempts_ended", help, ended.collect());
        let help = "Reports of workers that came after their leases were lost.";
        self.counter("cortado_worker_reports_stale", help, totals.counts.stale);
        let help =
            "Workers refused because engine.max_workers or engine.workers_per_token were known.";
        self.counter("cortado_workers_refused", help, totals.counts.refused);
    }

    fn schedules(&mut self, schedules: &[Schedule]) {
        self.gauge("cortado_schedules", "Schedules.", schedules.len() as f64);
        let problems = schedules.iter().filter_map(Schedule::problem);
        let unknown = problems.filter(|one| matches!(one, ScheduleProblem::UnknownZone(_)));
        let help = "Schedules that do not run because the machine does not know their time zone.";
        self.gauge("cortado_schedules_unknown_zone", help, unknown.count() as f64);
    }

    fn inbox(&mut self, figures: InboxFigures) {
        let help = "Jobs submitted in SQL that wait in the inbox; at most 100000 are counted.";
        self.gauge("cortado_inbox_jobs", help, figures.waiting as f64);
        let help = "Age of the oldest job that waits in the inbox, in seconds; 0 if there is none.";
        self.gauge("cortado_inbox_oldest_seconds", help, figures.oldest.as_secs_f64());
        let help = "Jobs submitted in SQL that were refused and are in cortado.not_enqueued; at most 100000 are counted.";
        self.gauge("cortado_inbox_refused_jobs", help, figures.refused as f64);
    }

    fn projection(&mut self, figures: &ProjectionFigures) {
        let help = "1 if a server keeps up cortado.jobs.";
        let is_kept_up = figures.kept_by.is_some();
        self.gauge("cortado_projection_kept_up", help, f64::from(u8::from(is_kept_up)));
        if let Some(lag) = figures.lag {
            let help =
                "How far cortado.jobs is behind, in seconds; absent while it is not complete.";
            self.gauge("cortado_projection_lag_seconds", help, lag.as_secs_f64());
        }
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

    fn logins(&mut self, logins: &LoginLimiter) {
        let by_reason = [
            ("wrong_token", logins.rejected_tokens()),
            ("wrong_password", logins.rejected_passwords()),
            ("not_verified", logins.rejected_external()),
            ("too_many", logins.refused()),
        ];
        let values = by_reason.map(|(reason, n)| (vec![("reason", reason.to_owned())], n));
        let help = "Passwords and tokens that were rejected: wrong ones, and those after too many wrong ones.";
        self.counters("cortado_logins_rejected", help, values.into());
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
            publish_p99_ns: _,
            ref publish_times,
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
        let help = "CPU time that the committer spent publishing a group commit.";
        self.histogram(
            "cortado_store_publish_seconds",
            help,
            HistogramTotals {
                buckets: publish_times.buckets(),
                sum_seconds: publish_times.sum_seconds(),
            },
        );
    }
}

/// The samples of a queue, one for each state.
fn by_state(
    queue: &str,
    states: &BTreeMap<JobState, u64>,
) -> impl Iterator<Item = (LabelSet, f64)> {
    states.iter().map(move |(state, n)| {
        (vec![("queue", queue.to_owned()), ("state", state.to_string())], *n as f64)
    })
}

/// The jobs of several queues by state, and the age of the oldest available one; `None` without queues.
fn others<'a>(
    queues: impl Iterator<Item = (&'a QueueName, &'a QueueStats)>,
    now: Time,
) -> Option<(BTreeMap<JobState, u64>, f64)> {
    let of_one = queues.map(|(_, queue)| (queue.states.clone(), waiting_seconds(queue, now)));
    of_one.reduce(|(mut states, age), (more, other_age)| {
        for (state, n) in more {
            *states.entry(state).or_default() += n;
        }
        (states, age.max(other_age))
    })
}

/// The time for which the oldest available job of a queue has waited.
fn waiting_seconds(queue: &QueueStats, now: Time) -> f64 {
    queue.waiting_since.map_or(0.0, |since| now.since(since).as_secs_f64())
}
