//! The messages of a worker's protocol (`docs/workers.md`). Members that this client does not know are ignored.

use std::borrow::Cow;
use std::fmt::Write;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::client::handler::LogStream;
use crate::client::submit::millis;

/// The subprotocol of workers on a WebSocket.
pub const SUBPROTOCOL: &str = "cortado.worker.v1+json";

/// The most entries in each list of an update, and the most jobs of a claim.
pub const MAX_ENTRIES: usize = 1_000;

pub const PING: &str = r#"{"type":"ping"}"#;
pub const BYE: &str = r#"{"type":"bye"}"#;

/// What a worker says about itself.
#[derive(Debug, Clone, Serialize)]
pub struct AboutWorker {
    pub host: String,
    pub pid: u32,
    pub client: &'static str,
    pub version: &'static str,
    pub concurrency: usize,
    /// Tells this process from others with the same name and number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
}

/// The message that says what the worker can run, and sets its credit.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "ready")]
pub struct ReadyMessage<'a> {
    pub free: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queues: Option<&'a [String]>,
    pub kinds: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub about: Option<&'a AboutWorker>,
    /// Only in the first message of a connection: the leases that the worker still holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<Vec<&'a str>>,
}

/// The body of a claim over HTTP.
#[derive(Debug, Serialize)]
pub struct ClaimBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queues: Option<&'a [String]>,
    pub kinds: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub about: Option<&'a AboutWorker>,
}

/// What an update contains. Settles and notes are JSON texts already, so that nothing is encoded twice.
#[derive(Debug, Default)]
pub struct UpdateParts<'a> {
    pub extend: &'a [Box<str>],
    pub lease: Option<Duration>,
    pub notes: Vec<&'a str>,
    pub settles: Vec<&'a str>,
    /// The credit that the update adds.
    pub free: usize,
}

impl UpdateParts<'_> {
    /// The message over a WebSocket; the answer repeats its number.
    pub fn message(&self, id: u64) -> String {
        let mut out = String::with_capacity(self.length());
        // Writing to a string cannot fail.
        let _ = write!(out, r#"{{"type":"update","id":{id}"#);
        self.write_members(&mut out);
        if self.free > 0 {
            let _ = write!(out, r#","free":{}"#, self.free);
        }
        out.push('}');
        out
    }

    /// The body of a request.
    pub fn body(&self) -> String {
        let mut out = String::with_capacity(self.length());
        self.write_members(&mut out);
        if out.is_empty() {
            return "{}".to_owned();
        }
        out.replace_range(..1, "{");
        out.push('}');
        out
    }

    fn length(&self) -> usize {
        let texts = self.notes.iter().chain(&self.settles);
        self.extend.len() * 64 + texts.map(|text| text.len() + 1).sum::<usize>() + 128
    }

    /// Writes the members, each after a comma.
    fn write_members(&self, out: &mut String) {
        if !self.extend.is_empty() {
            out.push_str(r#","extend":"#);
            out.push_str(&json(&self.extend));
            if let Some(lease) = self.lease {
                // Writing to a string cannot fail.
                let _ = write!(out, r#","lease_ms":{}"#, millis(lease));
            }
        }
        write_list(out, "note", &self.notes);
        write_list(out, "settle", &self.settles);
    }
}

fn write_list(out: &mut String, name: &str, texts: &[&str]) {
    if texts.is_empty() {
        return;
    }
    // Writing to a string cannot fail.
    let _ = write!(out, r#","{name}":"#);
    for (n, text) in texts.iter().enumerate() {
        out.push(if n == 0 { '[' } else { ',' });
        out.push_str(text);
    }
    out.push(']');
}

/// An entry of `settle`: how an attempt has ended.
pub fn settle_text(lease: &str, end: &SettleOutcome) -> String {
    let mut out = String::with_capacity(128);
    out.push_str(r#"{"lease":"#);
    out.push_str(&quoted(lease));
    // Writing to a string cannot fail.
    let _ = match end {
        SettleOutcome::Done(None) => write!(out, r#","outcome":"done"}}"#),
        SettleOutcome::Done(Some(result)) => {
            write!(out, r#","outcome":"done","result":{result}}}"#)
        }
        SettleOutcome::Retry { error, after: None } => {
            write!(out, r#","outcome":"retry","error":{}}}"#, json(error))
        }
        SettleOutcome::Retry { error, after: Some(after) } => {
            let after = millis(*after);
            write!(out, r#","outcome":"retry","error":{},"after_ms":{after}}}"#, json(error))
        }
        SettleOutcome::Snooze(delay) => {
            write!(out, r#","outcome":"snooze","delay_ms":{}}}"#, millis(*delay))
        }
        SettleOutcome::Discard(error) => {
            write!(out, r#","outcome":"discard","error":{}}}"#, json(error))
        }
        SettleOutcome::Cancelled => write!(out, r#","outcome":"cancelled"}}"#),
        SettleOutcome::Returned => write!(out, r#","outcome":"returned"}}"#),
    };
    out
}

/// How an attempt has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettleOutcome {
    /// With a result, which is JSON text.
    Done(Option<String>),
    Retry {
        error: String,
        after: Option<Duration>,
    },
    Snooze(Duration),
    Discard(String),
    Cancelled,
    Returned,
}

/// A line of a job's log.
#[derive(Debug, Serialize)]
pub struct LineMessage<'a> {
    pub text: &'a str,
    #[serde(skip_serializing_if = "is_log")]
    pub stream: LogStream,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
}

fn is_log(stream: &LogStream) -> bool {
    *stream == LogStream::Log
}

/// The progress of a job.
#[derive(Debug, Serialize)]
pub struct ProgressMessage<'a> {
    pub done: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<&'a str>,
}

/// An entry of `note`, from texts of lines and of the progress.
pub fn note_text(lease: &str, lines: &[String], progress: Option<&str>) -> String {
    let mut out = format!(r#"{{"lease":{}"#, quoted(lease));
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    write_list(&mut out, "lines", &lines);
    if let Some(progress) = progress {
        // Writing to a string cannot fail.
        let _ = write!(out, r#","progress":{progress}"#);
    }
    out.push('}');
    out
}

/// The JSON text of something that always has one.
pub fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned())
}

fn quoted(lease: &str) -> Cow<'static, str> {
    let needs_escape = |c: char| c == '"' || c == '\\' || c.is_control();
    if lease.contains(needs_escape) { json(&lease).into() } else { format!("\"{lease}\"").into() }
}

/// A message of the server, with the members of all types: a tagged enum cannot borrow payloads. Members that a type
/// does not have stay empty.
#[derive(Debug, Deserialize)]
pub struct ServerFrame<'a> {
    #[serde(borrow)]
    pub r#type: Cow<'a, str>,
    #[serde(borrow, default)]
    pub leases: Vec<LeaseOffer<'a>>,
    pub id: Option<u64>,
    #[serde(borrow, default)]
    pub extend: Vec<LeaseAnswer<'a>>,
    #[serde(borrow, default)]
    pub settle: Vec<LeaseAnswer<'a>>,
    #[serde(borrow, default)]
    pub held: Vec<LeaseAnswer<'a>>,
    #[serde(borrow)]
    pub lease: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub command: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub code: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub field: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub message: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub why: Option<Cow<'a, str>>,
    pub retry_ms: Option<u64>,
    pub heartbeat_ms: Option<u64>,
    pub lease_ms: Option<u64>,
}

/// The answer to a claim.
#[derive(Debug, Deserialize)]
pub struct ClaimedLeases<'a> {
    #[serde(borrow, default)]
    pub leases: Vec<LeaseOffer<'a>>,
    #[serde(borrow)]
    pub command: Option<Cow<'a, str>>,
}

/// The answer to an update over HTTP.
#[derive(Debug, Deserialize)]
pub struct UpdateResponse<'a> {
    #[serde(borrow, default)]
    pub extend: Vec<LeaseAnswer<'a>>,
    #[serde(borrow, default)]
    pub settle: Vec<LeaseAnswer<'a>>,
}

/// A job with its lease.
#[derive(Debug, Deserialize)]
pub struct LeaseOffer<'a> {
    #[serde(borrow)]
    pub lease: Cow<'a, str>,
    #[serde(borrow)]
    pub job: JobOffer<'a>,
}

/// The job of a lease.
#[derive(Debug, Deserialize)]
pub struct JobOffer<'a> {
    #[serde(borrow)]
    pub id: Cow<'a, str>,
    #[serde(borrow)]
    pub kind: Cow<'a, str>,
    #[serde(borrow)]
    pub queue: Cow<'a, str>,
    #[serde(borrow)]
    pub payload: &'a RawValue,
    pub attempt: u32,
    pub max_attempts: u32,
    pub timeout_ms: Option<u64>,
    #[serde(default)]
    pub priority: i32,
    #[serde(default)]
    pub tags: Vec<String>,
    #[serde(borrow)]
    pub enqueued_at: Cow<'a, str>,
}

/// The answer about one lease.
#[derive(Debug, Deserialize)]
pub struct LeaseAnswer<'a> {
    #[serde(borrow)]
    pub lease: Cow<'a, str>,
    #[serde(borrow)]
    pub status: Cow<'a, str>,
    #[serde(borrow)]
    pub detail: Option<Cow<'a, str>>,
}
