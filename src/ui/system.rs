//! System: the operator's page. What the store takes on the disk, what it wrote for what it accepted,
//! how far the log reaches, and the settings in force.

use std::time::Duration;

use askama::Template;
use axum::extract::State as Has;
use axum::http::StatusCode;
use axum::response::Response;

use crate::engine::{Engine, Stats, Storage};

use super::error::UiError;
use super::filters::{bytes, count};
use super::shell::{Section, Shell, page};

#[derive(Template)]
#[template(path = "system.html")]
struct System {
    shell: Shell,
    groups: Vec<Facts>,
}

/// Facts of one sort.
struct Facts {
    id: &'static str,
    title: &'static str,
    facts: Vec<(&'static str, String)>,
}

/// `GET /system`
pub async fn show(Has(engine): Has<Engine>) -> Result<Response, UiError> {
    let stats = engine.stats().await?;
    let storage = engine.storage().await?;
    let shell = Shell::live("System", Section::System, stats.cursor);
    let groups = vec![store(&storage), log(&stats), work(&engine)];
    Ok(page(StatusCode::OK, &System { shell, groups }))
}

fn store(storage: &Storage) -> Facts {
    let amplification = match storage.accepted_bytes {
        0 => "nothing was accepted yet".into(),
        accepted => format!("{:.2} times as much", storage.written_bytes as f64 / accepted as f64),
    };
    let journal =
        format!("{} in {} chunks", bytes(storage.journal_bytes), count(storage.journal_chunks));
    let archive =
        format!("{} jobs in {} runs", count(storage.archived_jobs), count(storage.archive_runs));
    let groups = format!("{} in {} syncs", count(storage.groups), count(storage.syncs));
    let facts = vec![
        ("On the disk", bytes(storage.disk_bytes)),
        ("Journal", journal),
        ("Archive", archive),
        ("Accepted since the start", bytes(storage.accepted_bytes)),
        ("Written for it", bytes(storage.written_bytes)),
        ("Write amplification", amplification),
        ("Groups committed", groups),
    ];
    Facts { id: "store", title: "Store", facts }
}

fn log(stats: &Stats) -> Facts {
    let kept = stats.cursor.seq - stats.oldest.seq.min(stats.cursor.seq);
    let facts = vec![
        ("Newest place", stats.cursor.to_string()),
        ("Oldest place", stats.oldest.to_string()),
        ("Events kept", count(kept)),
    ];
    Facts { id: "log", title: "Event log", facts }
}

fn work(engine: &Engine) -> Facts {
    let config = engine.config();
    let seconds = |duration: Duration| format!("{} s", duration.as_secs());
    let facts = vec![
        ("Worker", config.worker.to_string()),
        ("Running now", count(engine.running() as u64)),
        ("At once at most", count(config.max_running as u64)),
        ("At once in one queue", count(config.default_queue.concurrency as u64)),
        ("Lease", seconds(config.lease_ttl)),
        ("Timeout of an attempt", seconds(config.default_timeout)),
        ("Longest payload", bytes(config.max_payload as u64)),
    ];
    Facts { id: "work", title: "Work", facts }
}
