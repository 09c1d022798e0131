//! Writes the messages to workers. Payloads are copied as they are, and names need no escaping, so a thousand jobs cost
//! little more than their bytes.

use std::fmt::Write as _;

use crate::engine::{
    AboutLease, ClaimResponse, ExtendAnswer, Grant, NoteAnswer, SettleAnswer, UpdateAnswer,
};
use crate::http::view::{millis, to_json};

/// The answer to a claim over HTTP.
pub fn claim_answer(answer: &ClaimResponse) -> String {
    let mut out = String::with_capacity(32 + grant_bytes(&answer.grants));
    out.push_str(r#"{"leases":"#);
    grants(&mut out, &answer.grants);
    if let Some(command) = answer.command {
        out.push_str(r#","command":""#);
        out.push_str(command.as_str());
        out.push('"');
    }
    out.push('}');
    out
}

/// The message `jobs`.
pub fn jobs(leases: &[Grant]) -> String {
    let mut out = String::with_capacity(32 + grant_bytes(leases));
    out.push_str(r#"{"type":"jobs","leases":"#);
    grants(&mut out, leases);
    out.push('}');
    out
}

fn grant_bytes(grants: &[Grant]) -> usize {
    grants.iter().map(Grant::bytes).sum()
}

fn grants(out: &mut String, grants: &[Grant]) {
    out.push('[');
    for (at, grant) in grants.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        write_grant(out, grant);
    }
    out.push(']');
}

fn write_grant(out: &mut String, grant: &Grant) {
    let Grant { lease, job, expires_in } = grant;
    // Writing to a String cannot fail.
    let _ = write!(
        out,
        r#"{{"lease":"{lease}","expires_in_ms":{},"job":{{"id":"{}","kind":"{}","queue":"{}","payload":"#,
        millis(*expires_in),
        job.id,
        job.labels.kind,
        job.labels.queue,
    );
    out.push_str(job.spec.payload.as_str());
    let (attempt, most) = (job.status.attempt, job.status.max_attempts);
    // As above.
    let _ = write!(out, r#","attempt":{attempt},"max_attempts":{most},"timeout_ms":"#);
    match job.spec.timeout_ms {
        // As above.
        Some(ms) => drop(write!(out, "{ms}")),
        None => out.push_str("null"),
    }
    // As above.
    let _ = write!(out, r#","priority":{},"tags":"#, job.spec.priority);
    if job.labels.tags.is_empty() {
        out.push_str("[]");
    } else {
        out.push_str(&to_json(&job.labels.tags));
    }
    // As above.
    let _ = write!(out, r#","enqueued_at":"{}"}}}}"#, job.enqueued_at);
}

/// The answer to a report over HTTP.
pub fn update_answer(answer: &UpdateAnswer) -> String {
    let mut out = String::from("{");
    answers(&mut out, answer);
    out.push('}');
    out
}

/// The answer to a report over WebSocket.
pub fn updated(id: i64, answer: &UpdateAnswer) -> String {
    let mut out = format!(r#"{{"type":"updated","id":{id},"#);
    answers(&mut out, answer);
    out.push('}');
    out
}

/// The answer to the report of a callback: one answer for each part that was given.
pub fn callback_answer(answer: &UpdateAnswer) -> String {
    let extend =
        answer.extend.first().map(|about| format!(r#""extend":"{}""#, about.answer.as_str()));
    let note = answer.notes.first().map(|about| format!(r#""note":"{}""#, about.answer.as_str()));
    let settle = answer.settles.first().map(|about| {
        let mut out = String::from(r#""settle":{"#);
        settle_status(&mut out, &about.answer);
        out.push('}');
        out
    });
    let parts: Vec<String> = [extend, note, settle].into_iter().flatten().collect();
    format!("{{{}}}", parts.join(","))
}

fn answers(out: &mut String, answer: &UpdateAnswer) {
    out.reserve(110 * (answer.extend.len() + answer.notes.len() + answer.settles.len()) + 64);
    out.push_str(r#""extend":"#);
    extended(out, &answer.extend);
    out.push_str(r#","note":"#);
    list(out, &answer.notes, |out, answer: &NoteAnswer| status(out, answer.as_str()));
    out.push_str(r#","settle":"#);
    list(out, &answer.settles, settle_status);
}

/// The list of answers to extensions.
pub fn extended(out: &mut String, answers: &[AboutLease<ExtendAnswer>]) {
    list(out, answers, |out, answer| status(out, answer.as_str()));
}

fn list<T>(out: &mut String, answers: &[AboutLease<T>], mut write: impl FnMut(&mut String, &T)) {
    out.push('[');
    for (at, AboutLease { lease, answer }) in answers.iter().enumerate() {
        out.push_str(if at > 0 { r#",{"lease":"# } else { r#"{"lease":"# });
        if lease.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_') {
            out.push('"');
            out.push_str(lease);
            out.push('"');
        } else {
            out.push_str(&to_json(lease));
        }
        out.push(',');
        write(out, answer);
        out.push('}');
    }
    out.push(']');
}

fn status(out: &mut String, status: &str) {
    out.push_str(r#""status":""#);
    out.push_str(status);
    out.push('"');
}

fn settle_status(out: &mut String, answer: &SettleAnswer) {
    match answer {
        SettleAnswer::Settled(state) => {
            status(out, "settled");
            out.push_str(r#","state":""#);
            out.push_str(state.as_str());
            out.push('"');
        }
        SettleAnswer::Stale => status(out, "stale"),
        SettleAnswer::Gone => status(out, "gone"),
        SettleAnswer::Invalid(detail) => {
            status(out, "invalid");
            out.push_str(r#","detail":"#);
            out.push_str(&to_json(detail));
        }
    }
}
