//! `cortado stats`: prints the counters, the queues and the store size of a server as a table.
//! Programs use `--json` instead, which prints the response of the server.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::CliError;
use super::api::ApiClient;
use crate::config::StatsArgs;
use crate::job::causes;
use crate::job::hidden::{printable, printable_json};

#[derive(Deserialize)]
struct ReceivedStats {
    /// Older servers do not have it.
    #[serde(default)]
    paused: bool,
    states: BTreeMap<String, u64>,
    queues: Vec<ReceivedQueue>,
    store: ReceivedStorage,
    cursor: String,
    oldest: String,
}

#[derive(Deserialize)]
struct ReceivedQueue {
    name: String,
    paused: bool,
    states: BTreeMap<String, u64>,
}

#[derive(Deserialize)]
struct ReceivedStorage {
    disk_bytes: u64,
    journal_bytes: u64,
    journal_chunks: u64,
    archive_runs: u64,
    archived_jobs: u64,
    accepted_bytes: u64,
    written_bytes: u64,
    groups: u64,
    syncs: u64,
}

/// Reads the counters and prints them.
///
/// # Errors
/// When the server refuses the request or the output cannot be written.
pub async fn run(args: StatsArgs, out: &mut (impl Write + Send)) -> Result<(), CliError> {
    let response = ApiClient::new(&args.client)?.get("/api/v1/stats").await?;
    let text = response.text().await.map_err(|error| causes(&error))?;
    let shown = if args.json {
        let json: &RawValue = serde_json::from_str(&text).map_err(|error| unreadable(&error))?;
        printable_json(json.get()).into_owned()
    } else {
        table(&text)?
    };
    writeln!(out, "{}", shown.trim_end()).map_err(|error| format!("cannot write: {error}"))
}

fn unreadable(error: &serde_json::Error) -> CliError {
    format!("cannot read the response of the server: {error}")
}

fn table(json: &str) -> Result<String, CliError> {
    let stats: ReceivedStats = serde_json::from_str(json).map_err(|error| unreadable(&error))?;
    let mut text = String::new();
    // Writing into a String cannot fail.
    let mut row = |name: &str, value: String| {
        writeln!(text, "{:<24} {}", printable(name), printable(&value)).ok()
    };
    if stats.paused {
        row("server", "paused: no job starts until `cortado resume`".to_owned());
    }
    for state in STATES {
        row(state, stats.states.get(state).copied().unwrap_or_default().to_string());
    }
    for queue in &stats.queues {
        let of = |state: &&str| queue.states.get(*state).copied().unwrap_or_default();
        let (waiting, running) =
            (["scheduled", "available", "retryable"].iter().map(of).sum::<u64>(), of(&"running"));
        let paused = if queue.paused { ", paused" } else { "" };
        row(
            &format!("queue {}", queue.name),
            format!("{waiting} waiting, {running} running{paused}"),
        );
    }
    let store = &stats.store;
    row("log", format!("{} to {}", stats.oldest, stats.cursor));
    row("disk", bytes(store.disk_bytes));
    row("journal", format!("{} in {} chunks", bytes(store.journal_bytes), store.journal_chunks));
    row("archive", format!("{} jobs in {} runs", store.archived_jobs, store.archive_runs));
    let (accepted, written) = (store.accepted_bytes, store.written_bytes);
    row("bytes accepted", bytes(accepted));
    let amplification = match accepted {
        0 => String::new(),
        accepted => format!(" ({:.2}×)", written as f64 / accepted as f64),
    };
    row("bytes written", format!("{}{amplification}", bytes(written)));
    row("group commits", store.groups.to_string());
    row("disk syncs", store.syncs.to_string());
    Ok(text)
}

/// The states in the order in which a job passes them.
const STATES: [&str; 7] =
    ["scheduled", "available", "running", "retryable", "completed", "discarded", "cancelled"];

fn bytes(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} B"),
        10_000..10_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_become_a_table() {
        let json = r#"{"states":{"completed":3,"running":1},"queues":[{"name":"mail","paused":true,
            "concurrency":null,"slots":64,"weight":1,"states":{"available":2,"retryable":1,"running":1}}],
            "kinds":{},"cursor":"00000001:9","oldest":"00000001:0",
            "store":{"disk_bytes":2097152,"journal_bytes":500,"journal_chunks":4,"archive_runs":1,
            "archived_jobs":3,"accepted_bytes":1000,"written_bytes":1500,"groups":5,"syncs":6}}"#;
        let text = table(json).unwrap();
        for line in [
            "completed                3",
            "queue mail               3 waiting, 1 running, paused",
            "disk                     2097.2 kB",
            "bytes written            1500 B (1.50×)",
            "group commits            5",
            "disk syncs               6",
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line:?} is not in\n{text}");
        }
    }
}
