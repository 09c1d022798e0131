//! The messages of the subprotocol `cortado.worker.v1+json`. Each is a JSON object with a `type`.

use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;

use crate::engine::{
    AboutLease, ExtendAnswer, Grant, UpdateAnswer, WorkerCommand, WorkerRegistration,
    WorkerTransport, WorkerUpdate,
};
use crate::http::Problem;
use crate::http::access::messages::WorkerMessageName;
use crate::http::api::extract::json_text;
use crate::http::stream::protocol::ServerInfo;
use crate::http::stream::ws::frames;
use crate::http::view::{millis, to_json};
use crate::http::workers::read::{self, CREDIT, ID, ReportLimits};
use crate::http::workers::write;
use crate::job::shorten::{MAX_NAME, shorten};
use crate::job::{FieldErrors, Fields};

/// The name of the subprotocol, which the server selects when a worker offers it.
pub const SUBPROTOCOL: &str = "cortado.worker.v1+json";

/// The most leases that a worker can name when it connects again.
const MAX_HELD: usize = 10_000;

/// A message of a worker.
#[derive(Debug)]
pub enum WorkerMessage {
    /// It says what it can run, and sets its credit.
    Ready(Box<Ready>),
    /// It reports about its attempts, and adds to its credit.
    Update(NumberedUpdate),
    /// It asks for a `pong`.
    Ping,
    /// It signs off.
    Bye,
}

/// What a worker can run.
#[derive(Debug)]
pub struct Ready {
    /// How many jobs it can be sent.
    pub free: usize,
    /// What it says about itself.
    pub registration: WorkerRegistration,
    /// The leases that it still holds from an earlier connection.
    pub held: Vec<String>,
}

/// A report with its number and credit.
#[derive(Debug)]
pub struct NumberedUpdate {
    /// The number that the answer repeats.
    pub id: i64,
    /// How many more jobs it can be sent.
    pub free: usize,
    /// The report.
    pub update: WorkerUpdate,
}

/// A message was refused.
#[derive(Debug)]
pub struct RefusedMessage {
    /// Why.
    pub problem: Box<Problem>,
    /// The number of the report that it was, if it was one with a number.
    pub id: Option<i64>,
}

impl RefusedMessage {
    /// The refusal of a message, and its number if it was a report that has one.
    pub fn of(problem: impl Into<Problem>, id: Option<i64>) -> RefusedMessage {
        RefusedMessage { problem: Box::new(problem.into()), id }
    }
}

impl WorkerMessage {
    /// The number of a report.
    pub fn id(&self) -> Option<i64> {
        match self {
            WorkerMessage::Update(update) => Some(update.id),
            WorkerMessage::Ready(_) | WorkerMessage::Ping | WorkerMessage::Bye => None,
        }
    }

    /// The message as the table of access has it.
    pub fn access(&self) -> WorkerMessageName {
        match self {
            WorkerMessage::Ready(_) => WorkerMessageName::Ready,
            WorkerMessage::Update(_) => WorkerMessageName::Update,
            WorkerMessage::Ping => WorkerMessageName::Ping,
            WorkerMessage::Bye => WorkerMessageName::Bye,
        }
    }

    /// Reads a message.
    ///
    /// # Errors
    /// It is not JSON, or fields of it are wrong.
    pub fn parse(text: &str, limits: &ReportLimits) -> Result<WorkerMessage, RefusedMessage> {
        let text = json_text(text.as_bytes());
        let text = text.map_err(|problem| RefusedMessage::of(problem, None))?;
        let (mut errors, mut id) = (FieldErrors::default(), None);
        let message = Fields::read("", text, &mut errors)
            .and_then(|fields| message(fields, &mut errors, limits, &mut id));
        match message {
            Some(message) if errors.is_empty() => Ok(message),
            Some(_) | None => {
                Err(RefusedMessage::of(Problem::invalid_fields(errors.into_errors()), id))
            }
        }
    }
}

/// Reads a message. The number of a report is also there when other fields of it are wrong.
fn message(
    mut fields: Fields<'_>,
    errors: &mut FieldErrors,
    limits: &ReportLimits,
    number: &mut Option<i64>,
) -> Option<WorkerMessage> {
    let name = fields.required_text("type", errors)?;
    let message = match name.as_ref() {
        "ready" => {
            let free = fields.required_integer("free", CREDIT, errors);
            let registration =
                read::registration(&mut fields, errors, WorkerTransport::WebSocket, limits.lease);
            let held = fields.texts("held", errors).unwrap_or_default();
            if held.len() > MAX_HELD {
                let found = held.len();
                errors.add("held", format!("must have at most {MAX_HELD} items, but has {found}"));
            }
            let held = held.into_iter().map(|text| text.into_owned()).collect();
            free.zip(registration).map(|(free, registration)| {
                let free = usize::try_from(free).unwrap_or_default();
                WorkerMessage::Ready(Box::new(Ready { free, registration, held }))
            })
        }
        "update" => {
            let id = fields.required_integer("id", ID, errors);
            *number = id;
            let free = fields.integer("free", CREDIT, errors).unwrap_or(0);
            let update = read::update(&mut fields, errors, limits);
            let free = usize::try_from(free).unwrap_or_default();
            id.map(|id| WorkerMessage::Update(NumberedUpdate { id, free, update }))
        }
        "ping" => Some(WorkerMessage::Ping),
        "bye" => Some(WorkerMessage::Bye),
        other => {
            let found = shorten(other, MAX_NAME);
            errors
                .add("type", format!("unknown message {found:?}; use ready, update, ping or bye"));
            return None;
        }
    };
    fields.finish(errors);
    message
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum PushMessage<'a> {
    Cancel {
        lease: &'a str,
    },
    Lost {
        lease: &'a str,
    },
    Command {
        command: &'static str,
    },
    Error {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<i64>,
        code: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        field: Option<&'a str>,
        message: &'a str,
    },
    Pong,
}

fn frame(message: &PushMessage<'_>) -> Bytes {
    frames::text(&to_json(message))
}

/// The first message to a worker.
pub fn hello(
    lease: Duration,
    held: &[AboutLease<ExtendAnswer>],
    command: Option<WorkerCommand>,
) -> Bytes {
    let mut out = format!(
        r#"{{"type":"hello","heartbeat_ms":{},"lease_ms":{},"held":"#,
        millis(lease / 3),
        millis(lease)
    );
    write::extended(&mut out, held);
    if let Some(command) = command {
        out.push_str(r#","command":""#);
        out.push_str(command.as_str());
        out.push('"');
    }
    out.push_str(r#","server":"#);
    out.push_str(&to_json(&ServerInfo::THIS));
    out.push('}');
    frames::text(&out)
}

/// Jobs for a worker.
pub fn jobs(grants: &[Grant]) -> Bytes {
    frames::text(&write::jobs(grants))
}

/// The answer to a report.
pub fn updated(id: i64, answer: &UpdateAnswer) -> Bytes {
    frames::text(&write::updated(id, answer))
}

/// The job of a lease is to be cancelled.
pub fn cancel(lease: &str) -> Bytes {
    frame(&PushMessage::Cancel { lease })
}

/// A lease is lost.
pub fn lost(lease: &str) -> Bytes {
    frame(&PushMessage::Lost { lease })
}

/// What a worker is to do.
pub fn command(command: WorkerCommand) -> Bytes {
    frame(&PushMessage::Command { command: command.as_str() })
}

/// A message was refused.
pub fn refused(refusal: &RefusedMessage) -> Bytes {
    let RefusedMessage { problem, id } = refusal;
    let (code, field, message) = (problem.code(), problem.first_field(), problem.detail());
    frame(&PushMessage::Error { id: *id, code, field, message })
}

/// The answer to `ping`.
pub fn pong() -> Bytes {
    frame(&PushMessage::Pong)
}
