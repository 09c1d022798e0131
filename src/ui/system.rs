//! The system page for operators: the process and its uptime, disk usage and write amplification of the
//! store, the extent of the event log, subscribers, and the active settings.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Extension, State as Has};
use axum::http::StatusCode;
use axum::response::Response;

use crate::config::Setting;
use crate::config::settings::Shown;
use crate::engine::{Engine, Stats, Storage, Transport};
use crate::http::access::{Acting, Authenticator};
use crate::http::layers::login_limiter::LoginLimiter;
use crate::http::server::connections::Connections;
use crate::job::Time;

use super::layout::error::UiError;
use super::layout::flash::Done;
use super::layout::form_fields::{NoFields, PostedForm};
use super::layout::page::{Layout, Section, SeeOther, page, see_other};
use super::layout::visit::Visit;
use super::parts::filters::{bytes, count, rate};
use super::parts::time_format::{TimeText, length};

#[derive(Template)]
#[template(path = "system.html")]
struct System {
    layout: Layout,
    /// The time for the fact of that name.
    started: Option<TimeText>,
    groups: Vec<Facts>,
    settings: Vec<(String, String)>,
}

/// One section of the page.
struct Facts {
    id: &'static str,
    title: &'static str,
    facts: Vec<(&'static str, String)>,
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
    let mut groups =
        vec![process(&engine, now), store(&storage), log(&stats, &engine), work(&engine)];
    groups.extend(connections.map(|Extension(connections)| clients(&connections)));
    groups.extend(auth.filter(|auth| auth.is_required()).map(|auth| access(&auth.limiter)));
    let settings = settings.iter().map(|setting| (setting.key.clone(), in_words(setting)));
    let started = engine.starts().last().map(|at| TimeText::new(*at, now));
    Ok(page(StatusCode::OK, &System { settings: settings.collect(), layout, started, groups }))
}

/// `POST /system/resume`
pub async fn resume(Acting(engine): Acting<Engine>, _: PostedForm<NoFields>) -> SeeOther {
    engine.resume_server();
    see_other("system").with(Done::ServerResumed, "server")
}

fn process(engine: &Engine, now: Time) -> Facts {
    let starts = engine.starts();
    let up = starts.last().map(|at| now.since(*at));
    let facts = vec![
        ("Version", env!("CARGO_PKG_VERSION").to_owned()),
        ("Uptime", up.map(length).unwrap_or_default()),
        ("Started", String::new()),
        ("Paused", if engine.is_paused() { "yes, until it is resumed" } else { "no" }.to_owned()),
        ("Recorded starts", count(starts.len() as u64)),
        ("Process ID", std::process::id().to_string()),
    ];
    Facts { id: "process", title: "Server", facts }
}

fn clients(connections: &Connections) -> Facts {
    let facts = vec![
        ("Open connections", count(connections.open() as u64)),
        ("Connections refused (too many from one address)", count(connections.refused())),
        ("Connections closed (client too slow)", count(connections.too_slow())),
    ];
    Facts { id: "clients", title: "Connections", facts }
}

fn access(logins: &LoginLimiter) -> Facts {
    let facts = vec![
        ("Logins rejected (wrong token)", count(logins.rejected_tokens())),
        ("Logins rejected (wrong password)", count(logins.rejected_passwords())),
        ("Logins rejected (through the provider, not verified)", count(logins.rejected_external())),
        ("Logins refused (too many wrong ones)", count(logins.refused())),
    ];
    Facts { id: "access", title: "Access", facts }
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
    let facts = vec![
        ("Disk usage", bytes(storage.disk_bytes)),
        ("Journal", journal),
        ("Archive", archive),
        ("Bytes accepted", bytes(storage.accepted_bytes)),
        ("Bytes written", bytes(storage.written_bytes)),
        ("Write amplification", amplification),
        ("Group commits", groups),
    ];
    Facts { id: "store", title: "Store", facts }
}

fn log(stats: &Stats, engine: &Engine) -> Facts {
    let kept = stats.cursor.seq - stats.oldest.seq.min(stats.cursor.seq);
    let facts = vec![
        ("Log head", stats.cursor.to_string()),
        ("Log start", stats.oldest.to_string()),
        ("Events kept", count(kept)),
        ("Events per second", rate(engine.rates().0.events)),
        ("Subscribers", subscribers(engine)),
    ];
    Facts { id: "log", title: "Event log", facts }
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
    let facts = vec![
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
    Facts { id: "work", title: "Execution", facts }
}
