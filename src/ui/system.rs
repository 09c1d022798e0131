//! The system page for operators: the process and its uptime, disk usage and write amplification of the
//! store, the extent of the event log, subscribers, how these figures went on, and the active settings.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Extension, State as Has};
use axum::http::StatusCode;
use axum::response::Response;

use crate::config::Setting;
use crate::config::settings::Shown;
use crate::engine::{
    Engine, InboxFigures, ProjectionFigures, Stats, Storage, SystemSample, Transport,
};
use crate::http::access::{Acting, Authenticator};
use crate::http::layers::login_limiter::LoginLimiter;
use crate::http::server::connections::Connections;
use crate::job::Time;

use super::layout::error::UiError;
use super::layout::flash::Done;
use super::layout::form_fields::{NoFields, PostedForm};
use super::layout::page::{Layout, Section, SeeOther, page, see_other};
use super::layout::visit::Visit;
use super::parts::filters::{self, bytes, count, rate};
use super::parts::node_row::NodeList;
use super::parts::sample_spark::SampleSpark;
use super::parts::time_format::{TimeText, length};

/// The facts in sections about this process that are nevertheless about the store.
const SHARED_FACTS: &[&str] = &["Recorded starts"];
/// The facts in sections about the store that are nevertheless about this process.
const OWN_FACTS: &[&str] =
    &["Bytes accepted", "Bytes written", "Write amplification", "Group commits", "Subscribers"];

#[derive(Template)]
#[template(path = "system.html")]
struct System {
    layout: Layout,
    /// The time for the fact of that name.
    started: Option<TimeText>,
    nodes: NodeList,
    /// What was measured in the last 30 minutes.
    sparks: Vec<SampleSpark>,
    groups: Vec<Facts>,
    settings: Vec<(String, String)>,
}

/// One section of the page.
struct Facts {
    id: &'static str,
    title: &'static str,
    /// Whether all of it is about this node alone, and there are others.
    is_of_node: bool,
    facts: Vec<(String, String)>,
}

/// What the facts of a section are about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum FactScope {
    /// The store, and so all nodes.
    Store,
    /// The process that shows the page.
    Process,
}

impl Facts {
    fn new<const N: usize>(
        id: &'static str,
        title: &'static str,
        facts: [(&'static str, String); N],
    ) -> Facts {
        let facts = facts.into_iter().map(|(name, text)| (name.to_owned(), text)).collect();
        Facts { id, title, is_of_node: false, facts }
    }

    /// Says which facts are about this node alone.
    fn of_several(mut self, scope: FactScope) -> Facts {
        let (others, suffix) = match scope {
            FactScope::Store => (OWN_FACTS, " (this node)"),
            FactScope::Process => (SHARED_FACTS, " (all nodes)"),
        };
        self.is_of_node = scope == FactScope::Process;
        for (name, _) in &mut self.facts {
            if others.contains(&name.as_str()) {
                name.push_str(suffix);
            }
        }
        self
    }
}

/// `GET /system`
pub async fn show(
    Has(engine): Has<Engine>,
    visit: Visit,
    Extension(settings): Extension<Arc<Vec<Setting>>>,
    connections: Option<Extension<Arc<Connections>>>,
    auth: Option<Extension<Arc<Authenticator>>>,
) -> Result<Response, UiError> {
    let stats = engine.stats().await?;
    let storage = engine.storage().await?;
    let now = engine.now();
    let layout = Layout::live(&visit, "System", Section::System, stats.cursor, now);
    let nodes = NodeList::of(&engine, now);
    let mut groups = vec![
        (process(&engine, now), FactScope::Process),
        (store(&storage), FactScope::Store),
        (log(&stats, &engine), FactScope::Store),
        (work(&engine), FactScope::Process),
    ];
    let sql = sql(engine.inbox_figures().await?, engine.projection_figures().await?);
    groups.extend(sql.map(|sql| (sql, FactScope::Store)));
    let connections = connections.map(|Extension(connections)| clients(&connections));
    groups.extend(connections.map(|clients| (clients, FactScope::Process)));
    let auth = auth.filter(|auth| auth.is_required()).map(|auth| access(&auth.limiter));
    groups.extend(auth.map(|access| (access, FactScope::Process)));
    let groups = groups
        .into_iter()
        .map(|(group, scope)| if nodes.are_several() { group.of_several(scope) } else { group });
    let groups = groups.collect();
    let settings = settings.iter().map(|setting| (setting.key.clone(), in_words(setting)));
    let started = engine.started_at().map(|at| TimeText::new(at, now));
    let sparks = sparks(&engine.system_samples(), now);
    Ok(page(
        StatusCode::OK,
        &System { settings: settings.collect(), layout, started, nodes, sparks, groups },
    ))
}

/// `POST /system/resume`
pub async fn resume(Acting(engine): Acting<Engine>, _: PostedForm<NoFields>) -> SeeOther {
    engine.resume_server();
    see_other("system").with(Done::ServerResumed, "server")
}

/// The figures that change over time, each as a sparkline.
fn sparks(samples: &[SystemSample], now: Time) -> Vec<SampleSpark> {
    type Value = fn(&SystemSample) -> Option<f64>;
    type Text = fn(f64) -> String;
    let per_second: Text = |value| format!("{}/s", rate(value));
    let whole: Text = |value| count(value as u64);
    let size: Text = |value| bytes(value as u64);
    let time: Text = |seconds| format!("{:.1} ms", seconds * 1_000.0);
    let figures: [(&'static str, Value, Text); 8] = [
        ("Enqueued jobs", |sample| Some(sample.rates.enqueued), per_second),
        ("Completed jobs", |sample| Some(sample.rates.completed), per_second),
        ("Events", |sample| Some(sample.rates.events), per_second),
        ("Commit latency", |sample| sample.enqueue_seconds, time),
        ("Running attempts", |sample| Some(sample.running as f64), whole),
        ("Subscribers", |sample| Some(sample.subscribers as f64), whole),
        ("Memory", |sample| sample.memory_bytes.map(|bytes| bytes as f64), size),
        ("Disk usage", |sample| sample.disk_bytes.map(|bytes| bytes as f64), size),
    ];
    let draw = |(name, value, text)| SampleSpark::of(name, samples, now, value, text);
    figures.into_iter().filter_map(draw).collect()
}

fn process(engine: &Engine, now: Time) -> Facts {
    let starts = engine.starts();
    let up = engine.started_at().map(|at| now.since(at));
    let facts = [
        ("Version", env!("CARGO_PKG_VERSION").to_owned()),
        ("Uptime", up.map(length).unwrap_or_default()),
        ("Started", String::new()),
        ("Paused", if engine.is_paused() { "yes, until it is resumed" } else { "no" }.to_owned()),
        ("Recorded starts", count(starts.len() as u64)),
        ("Process ID", std::process::id().to_string()),
    ];
    Facts::new("process", "Server", facts)
}

fn clients(connections: &Connections) -> Facts {
    let facts = [
        ("Open connections", count(connections.open() as u64)),
        ("Connections refused (too many from one address)", count(connections.refused())),
        ("Connections closed (client too slow)", count(connections.too_slow())),
    ];
    Facts::new("clients", "Connections", facts)
}

fn access(logins: &LoginLimiter) -> Facts {
    let facts = [
        ("Logins rejected (wrong token)", count(logins.rejected_tokens())),
        ("Logins rejected (wrong password)", count(logins.rejected_passwords())),
        ("Logins rejected (through the provider, not verified)", count(logins.rejected_external())),
        ("Logins refused (too many wrong ones)", count(logins.refused())),
    ];
    Facts::new("access", "Access", facts)
}

fn in_words(setting: &Setting) -> String {
    match &setting.value {
        Shown::Duration(time) => length(*time),
        Shown::Text(text) => text.clone(),
        Shown::Unset => "not set".into(),
    }
}

fn store(storage: &Storage) -> Facts {
    let amplification = match storage.accepted_bytes {
        0 => "nothing written yet".into(),
        accepted => format!("{:.2}×", storage.written_bytes as f64 / accepted as f64),
    };
    let journal =
        format!("{} in {} chunks", bytes(storage.journal_bytes), count(storage.journal_chunks));
    let archive =
        format!("{} jobs in {} runs", count(storage.archived_jobs), count(storage.archive_runs));
    let groups = format!("{} with {} disk syncs", count(storage.groups), count(storage.syncs));
    let facts = [
        ("Disk usage", bytes(storage.disk_bytes)),
        ("Journal", journal),
        ("Archive", archive),
        ("Bytes accepted", bytes(storage.accepted_bytes)),
        ("Bytes written", bytes(storage.written_bytes)),
        ("Write amplification", amplification),
        ("Group commits", groups),
    ];
    Facts::new("store", "Store", facts)
}

/// What programs that use the database see: the jobs that they have submitted, and those that they can query.
fn sql(inbox: Option<InboxFigures>, projection: Option<ProjectionFigures>) -> Option<Facts> {
    let (inbox, projection) = (inbox?, projection?);
    let counted = |number| match number {
        InboxFigures::MAX_COUNTED.. => format!("{} or more", count(InboxFigures::MAX_COUNTED)),
        number => count(number),
    };
    let oldest = if inbox.waiting == 0 { "none".to_owned() } else { length(inbox.oldest) };
    let behind = projection.lag.map(|lag| format!("{} behind", length(lag)));
    let rows = match (behind, projection.kept_by) {
        (Some(behind), Some(node)) => format!("{behind}, kept up by {node}"),
        (None, Some(node)) => format!("being read by {node}"),
        (Some(behind), None) => format!("{behind}, and no node keeps it up"),
        (None, None) => "not kept up (store.projection)".to_owned(),
    };
    let facts = [
        ("Submissions waiting in the inbox", counted(inbox.waiting)),
        ("Age of the oldest submission", oldest),
        ("Refused submissions", counted(inbox.refused)),
        ("cortado.jobs", rows),
    ];
    Some(Facts::new("sql", "SQL", facts))
}

fn log(stats: &Stats, engine: &Engine) -> Facts {
    let kept = stats.cursor.seq - stats.oldest.seq.min(stats.cursor.seq);
    let facts = [
        ("Log head", stats.cursor.to_string()),
        ("Log start", stats.oldest.to_string()),
        ("Events kept", count(kept)),
        ("Events per second", rate(engine.rates().0.events)),
        ("Subscribers", subscribers(engine)),
    ];
    Facts::new("log", "Event log", facts)
}

/// Formats the number of subscribers by transport: `2 WebSockets, 1 poll`.
fn subscribers(engine: &Engine) -> String {
    let of = |transport| engine.subscriber_counts().of(transport);
    let named = |(transport, one): (Transport, &str)| match of(transport) {
        0 => None,
        1 => Some(format!("1 {one}")),
        n => Some(format!("{} {one}s", count(n))),
    };
    let transports = [
        (Transport::WebSocket, "WebSocket"),
        (Transport::EventStream, "event stream"),
        (Transport::Poll, "poll"),
        (Transport::Log, "log stream"),
    ];
    let parts: Vec<String> = transports.into_iter().filter_map(named).collect();
    if parts.is_empty() { "none".into() } else { parts.join(", ") }
}

fn work(engine: &Engine) -> Facts {
    let config = engine.config();
    let facts = [
        ("Worker name", config.worker.to_string()),
        ("Running attempts", count(engine.running() as u64)),
        ("Maximum running attempts", count(config.max_running as u64)),
        ("Default concurrency per queue", count(config.default_queue.concurrency.get() as u64)),
        ("Lease duration", length(config.lease_ttl)),
        ("Default timeout per attempt", length(config.default_timeout)),
        ("Maximum payload size", bytes(config.max_payload as u64)),
        ("Maximum nesting per payload", format!("{} levels", count(config.json.depth as u64))),
        ("Maximum values per payload", count(config.json.values as u64)),
    ];
    Facts::new("work", "Execution", facts)
}
