//! `cortado submit`: hands in one job and, when asked, waits for its end on the event stream.
//! Exit codes: 0 accepted, or completed; 1 discarded, cancelled or removed; 2 not accepted or not known.

use std::future::{Future, pending};
use std::io::{Read, Write};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::Failed;
use super::api::{Api, causes};
use super::line::printable;
use super::output::say;
use super::stream::{Item, Stream};
use crate::config::SubmitArgs;
use crate::job::{Cursor, Json};

/// How the job fared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The server has it; nobody waited.
    Accepted,
    /// It completed.
    Completed,
    /// It was discarded, cancelled or removed.
    GivenUp,
}

impl Fate {
    /// The exit code of the command.
    pub fn exit_code(self) -> u8 {
        match self {
            Fate::Accepted | Fate::Completed => 0,
            Fate::GivenUp => 1,
        }
    }
}

#[derive(Serialize)]
struct Submission<'a> {
    kind: &'a str,
    payload: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    queue: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<i16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delay_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    run_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_attempts: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    idempotency_key: Option<&'a str>,
    tags: Vec<&'a str>,
}

#[derive(Deserialize)]
struct Row {
    id: String,
}

#[derive(Deserialize)]
struct JobNow {
    state: String,
    cursor: String,
    result: Option<Box<RawValue>>,
    error: Option<Failure>,
}

#[derive(Deserialize)]
struct Failure {
    class: String,
    message: String,
}

/// Submits and prints the job's id, or with `--wait` its result as JSON. The id then goes to standard
/// error, so that standard output is the result alone.
///
/// # Errors
/// When the payload is no JSON, the server refuses, `stop` resolves, or `--wait` runs out.
pub async fn run(
    args: SubmitArgs,
    stop: impl Future<Output = ()>,
    out: &mut (impl Write + Send),
) -> Result<Fate, Failed> {
    let api = Api::new(&args.client)?;
    let payload = payload(args.payload.as_deref())?;
    let submission = Submission {
        kind: args.kind.as_str(),
        payload: payload.as_deref(),
        queue: args.queue.as_ref().map(|queue| queue.as_str()),
        priority: args.priority,
        delay_ms: args.delay.map(crate::http::view::millis),
        run_at: args.run_at.map(|at| at.to_string()),
        max_attempts: args.max_attempts,
        timeout_ms: args.timeout.map(crate::http::view::millis),
        idempotency_key: args.key.as_ref().map(|key| key.as_str()),
        tags: args.tag.iter().map(|tag| tag.as_str()).collect(),
    };
    let row = api.post("/api/v1/jobs", &submission).await?;
    let row: Row = row.json().await.map_err(|error| causes(&error))?;
    let Some(patience) = args.wait else {
        write(out, &row.id)?;
        return Ok(Fate::Accepted);
    };
    say(&row.id);
    tokio::select! {
        job = wait(&api, &row.id) => tell(job?, out),
        () = stop => Err("interrupted; the job goes on".to_owned()),
        () = end_of(patience) => Err("the job has not ended in time; it goes on".to_owned()),
    }
}

async fn end_of(patience: Option<Duration>) {
    match patience {
        Some(patience) => tokio::time::sleep(patience).await,
        None => pending().await,
    }
}

fn payload(given: Option<&str>) -> Result<Option<Box<RawValue>>, Failed> {
    let text = match given {
        None => return Ok(None),
        Some("-") => {
            let mut text = String::new();
            std::io::stdin()
                .read_to_string(&mut text)
                .map_err(|error| format!("cannot read the payload: {error}"))?;
            text
        }
        Some(text) => text.to_owned(),
    };
    let json = Json::parse(&text).map_err(|error| format!("the payload is no JSON: {error}"))?;
    Ok(Some(json.raw()))
}

/// The job once it has come to its end; `None` when it was removed. Reads it first and follows the
/// stream from that place, so that an end in between is not missed.
async fn wait(api: &Api, id: &str) -> Result<Option<JobNow>, Failed> {
    let path = format!("/api/v1/jobs/{id}");
    loop {
        let job: JobNow = api.read(&path).await?;
        if matches!(job.state.as_str(), "completed" | "discarded" | "cancelled") {
            return Ok(Some(job));
        }
        let after: Cursor = job.cursor.parse()?;
        let ends = "job.completed,job.discarded,job.cancelled,job.deleted";
        let filter = vec![("job", id.to_owned()), ("type", ends.to_owned())];
        let mut stream = Stream::new(api.clone(), filter, Some(after));
        loop {
            match stream.next().await? {
                Item::Event(event) if event.get().contains(r#""type":"job.deleted""#) => {
                    return Ok(None);
                }
                Item::Event(_) | Item::Gap { .. } => break, // look again
                Item::Lost { why, wait } => {
                    say(&format!("cortado: {why}; trying again in {:.1} s", wait.as_secs_f64()));
                }
            }
        }
    }
}

fn tell(job: Option<JobNow>, out: &mut impl Write) -> Result<Fate, Failed> {
    let Some(job) = job else {
        say("cortado: the job was removed");
        return Ok(Fate::GivenUp);
    };
    if job.state == "completed" {
        write(out, job.result.as_deref().unwrap_or(RawValue::NULL).get())?;
        return Ok(Fate::Completed);
    }
    match job.error {
        Some(Failure { class, message }) => {
            say(&format!("cortado: the job was {}: {class}: {}", job.state, printable(&message)));
        }
        None => say(&format!("cortado: the job was {}", job.state)),
    }
    Ok(Fate::GivenUp)
}

fn write(out: &mut impl Write, text: &str) -> Result<(), Failed> {
    writeln!(out, "{text}")
        .and_then(|()| out.flush())
        .map_err(|error| format!("cannot write: {error}"))
}
