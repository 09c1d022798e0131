//! `cortado submit`: submits one job, and with `--wait` follows the event stream until it is final.
//! Exit codes: 0 accepted or completed; 1 discarded, cancelled or deleted; 2 not accepted, or the outcome is unknown.

use std::future::{Future, pending};
use std::io::{Read, Write};
use std::time::Duration;

use serde_json::value::RawValue;

use super::CliError;
use super::api::ApiClient;
use super::output::say;
use super::stream::{EventSubscription, StreamItem};
use crate::client::{JobFailure, JobInfo, SubmissionBody, Submitted};
use crate::config::SubmitArgs;
use crate::job::hidden::{printable, printable_json};
use crate::job::{Cursor, causes, parse_value};

/// The outcome of a submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubmitOutcome {
    /// The server has accepted the job; the command did not wait.
    Accepted,
    /// The job completed.
    Completed,
    /// The job was discarded, cancelled or deleted.
    NotCompleted,
}

impl SubmitOutcome {
    /// The exit code of the command.
    pub fn exit_code(self) -> u8 {
        match self {
            SubmitOutcome::Accepted | SubmitOutcome::Completed => 0,
            SubmitOutcome::NotCompleted => 1,
        }
    }
}

/// The reasons to wait that only end when somebody does something.
const NEEDS_SOMEBODY: [&str; 3] = ["server_paused", "queue_paused", "no_worker"];

/// Submits a job and prints its id. With `--wait` it prints the result as JSON, and the id on standard error, so that
/// standard output has only the result.
///
/// # Errors
/// When the payload is not valid JSON, the server refuses the job, `stop` resolves, or the wait times out.
pub async fn run(
    args: SubmitArgs,
    stop: impl Future<Output = ()>,
    out: &mut (impl Write + Send),
) -> Result<SubmitOutcome, CliError> {
    let api = ApiClient::new(&args.client)?;
    let payload = payload(args.payload.as_deref())?;
    // Without a key of its own, because the request is sent once.
    let submission = SubmissionBody {
        kind: args.kind.as_str().to_owned(),
        payload,
        queue: args.queue.map(|queue| queue.as_str().to_owned()),
        priority: args.priority,
        delay_ms: args.delay.map(crate::http::view::millis),
        run_at: args.run_at.map(|at| at.to_string()),
        max_attempts: args.max_attempts,
        backoff: None,
        timeout_ms: args.timeout.map(crate::http::view::millis),
        idempotency_key: args.key.map(|key| key.as_str().to_owned()),
        tags: args.tag.iter().map(|tag| tag.as_str().to_owned()).collect(),
    };
    let row = api.post("/api/v1/jobs", &submission).await?;
    let row: Submitted = row.json().await.map_err(|error| causes(&error))?;
    let Some(limit) = args.wait else {
        write(out, &printable(&row.id))?;
        return Ok(SubmitOutcome::Accepted);
    };
    say(&row.id);
    tokio::select! {
        job = wait(&api, &row.id) => report(job?, out),
        () = stop => Err("interrupted; the job continues".to_owned()),
        () = timeout(limit) => Err("the job has not finished in time; it continues".to_owned()),
    }
}

async fn timeout(limit: Option<Duration>) {
    match limit {
        Some(limit) => tokio::time::sleep(limit).await,
        None => pending().await,
    }
}

fn payload(given: Option<&str>) -> Result<Option<Box<RawValue>>, CliError> {
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
    Ok(Some(parse_value("the payload", &text)?.to_owned()))
}

/// Returns the job once it is final; `None` when it was deleted. It reads the job first and follows the stream from the
/// cursor of that read, so that no change is missed.
async fn wait(api: &ApiClient, id: &str) -> Result<Option<JobInfo>, CliError> {
    let path = format!("/api/v1/jobs/{id}");
    loop {
        let job: JobInfo = api.read(&path).await?;
        if job.is_final() {
            return Ok(Some(job));
        }
        // Somebody has to do something before such a job runs, so the wait could last forever without a word.
        if let Some(why) = job.why.filter(|why| NEEDS_SOMEBODY.contains(&why.code.as_str())) {
            say(&format!("cortado: the job waits: {}", printable(&why.text)));
        }
        let after: Cursor = job.cursor.unwrap_or_default().parse()?;
        let final_types = "job.completed,job.discarded,job.cancelled,job.deleted";
        let filter = vec![("job", id.to_owned()), ("type", final_types.to_owned())];
        let mut stream = EventSubscription::new(api.clone(), filter, Some(after));
        loop {
            match stream.next().await? {
                StreamItem::Event(event) if event.get().contains(r#""type":"job.deleted""#) => {
                    return Ok(None);
                }
                StreamItem::Event(_) | StreamItem::Gap { .. } => break, // read the job again
                StreamItem::Lost { why, delay } => {
                    say(&format!("cortado: {why}; retrying in {:.1} s", delay.as_secs_f64()));
                }
            }
        }
    }
}

/// Prints the outcome of a job.
fn report(job: Option<JobInfo>, out: &mut impl Write) -> Result<SubmitOutcome, CliError> {
    let Some(job) = job else {
        say("cortado: the job was deleted");
        return Ok(SubmitOutcome::NotCompleted);
    };
    if job.is_completed() {
        let result = job.result.as_deref().unwrap_or(RawValue::NULL);
        write(out, &printable_json(result.get()))?;
        return Ok(SubmitOutcome::Completed);
    }
    match job.error {
        Some(JobFailure { class, message }) => {
            say(&format!("cortado: the job was {}: {class}: {}", job.state, printable(&message)));
        }
        None => say(&format!("cortado: the job was {}", job.state)),
    }
    Ok(SubmitOutcome::NotCompleted)
}

fn write(out: &mut impl Write, text: &str) -> Result<(), CliError> {
    writeln!(out, "{text}")
        .and_then(|()| out.flush())
        .map_err(|error| format!("cannot write: {error}"))
}
