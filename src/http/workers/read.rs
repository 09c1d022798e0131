//! Reads the messages of workers, whatever the transport. Errors name every field that is wrong.

use std::sync::Arc;
use std::time::Duration;

use crate::engine::{
    AttemptEnding, ClaimRequest, Interest, WorkerAbout, WorkerCaller, WorkerNote,
    WorkerRegistration, WorkerSettle, WorkerTransport, WorkerUpdate,
};
use crate::job::fields::{EMPTY, REQUIRED, describe, items};
use crate::job::shorten::{shorten, truncated};
use crate::job::{
    FieldErrors, Fields, IntegerRange, Invalid, Json, JsonLimits, Kind, LogLine, Outcome, Progress,
    QueueName, Stream, Time,
};

/// The most names of queues, and of kinds, in one claim.
pub const MAX_NAMES: usize = 100;
/// The most items in each list of a report, and the most lines of one note.
pub const MAX_ITEMS: usize = 1_000;
/// The longest text that a worker says about itself, in characters, as JSON Schema counts them.
pub const MAX_ABOUT: usize = 200;
/// The longest log line and the longest message about progress, in bytes; a longer one is cut.
const MAX_LINE: usize = 8 * 1_024;
const MAX_MESSAGE: usize = 1_024;

/// How many jobs a claim may ask for.
pub const MAX: IntegerRange = IntegerRange::new(1, 1_000);
/// The credit of a worker, and how many jobs it says it runs at once.
pub const CREDIT: IntegerRange = IntegerRange::new(0, 10_000);
/// How many jobs a worker may say it runs at once.
pub const CONCURRENCY: IntegerRange = IntegerRange::new(1, 10_000);
/// How long leases may last.
pub const LEASE_MS: IntegerRange = IntegerRange::new(1_000, 3_600_000);
/// How long a claim may wait.
pub const WAIT_MS: IntegerRange = IntegerRange::new(0, 60_000);
/// The number of a process.
pub const PID: IntegerRange = IntegerRange::new(0, u32::MAX as i64);
/// A delay, at most a year.
pub const DELAY_MS: IntegerRange = IntegerRange::new(0, 365 * 86_400_000);
/// Units of progress.
pub const UNITS: IntegerRange = IntegerRange::at_least(0);
/// The number of a report, which its answer repeats.
pub const ID: IntegerRange = IntegerRange::at_least(0);

/// How long a lease lasts when the worker does not say.
pub const DEFAULT_LEASE: Duration = Duration::from_secs(30);

/// The limits that a report is checked against.
#[derive(Debug, Clone, Copy)]
pub struct ReportLimits {
    /// How deep results may be nested, and how many values they may have.
    pub json: JsonLimits,
    /// The longest result in bytes.
    pub max_result: usize,
    /// How long extended leases last when the report does not say.
    pub lease: Duration,
    /// The time of log lines that have none.
    pub now: Time,
}

/// Reads a claim over HTTP.
pub fn claim(fields: &mut Fields<'_>, errors: &mut FieldErrors) -> Option<ClaimRequest> {
    let registration = registration(fields, errors, WorkerTransport::Http, DEFAULT_LEASE);
    let max = fields.integer("max", MAX, errors).unwrap_or(1);
    let wait = fields.integer("wait_ms", WAIT_MS, errors).unwrap_or(0);
    Some(ClaimRequest {
        registration: registration?,
        max: usize::try_from(max).ok()?,
        wait: millis(wait),
    })
}

/// Reads what a worker says about itself and about the jobs that it can run. `usual` is how long its leases last when it
/// does not say.
pub fn registration(
    fields: &mut Fields<'_>,
    errors: &mut FieldErrors,
    transport: WorkerTransport,
    usual: Duration,
) -> Option<WorkerRegistration> {
    let queues = names("queues", QueueName::parse, fields, errors);
    let kinds = names("kinds", Kind::parse, fields, errors);
    if kinds.is_none() {
        errors.add(fields.path("kinds"), REQUIRED); // unless it has an error already
    }
    let lease = fields.integer("lease_ms", LEASE_MS, errors);
    let about = fields.object("about", errors).map(|fields| about(fields, errors));
    let queues = queues.unwrap_or_else(|| vec![QueueName::default()]);
    let kinds = Arc::new(kinds?.into_iter().collect());
    let interest = Arc::new(Interest { queues: queues.into_iter().collect(), kinds });
    let lease = lease.map_or(usual, millis);
    Some(WorkerRegistration { interest, lease, about, transport, caller: WorkerCaller::default() })
}

fn names<T>(
    field: &'static str,
    parse: fn(&str) -> Result<T, Invalid>,
    fields: &mut Fields<'_>,
    errors: &mut FieldErrors,
) -> Option<Vec<T>> {
    let path = fields.path(field);
    let texts = fields.texts(field, errors)?;
    if texts.is_empty() {
        errors.add(path, "must have at least one name");
        return None;
    }
    if texts.len() > MAX_NAMES {
        errors.add(path, format!("must have at most {MAX_NAMES} names, but has {}", texts.len()));
        return None;
    }
    let name = |(at, text): (usize, &std::borrow::Cow<'_, str>)| {
        errors.take(format!("{path}[{at}]"), parse(text))
    };
    Some(texts.iter().enumerate().filter_map(name).collect())
}

fn about(mut fields: Fields<'_>, errors: &mut FieldErrors) -> WorkerAbout {
    let text = |name: &'static str, fields: &mut Fields<'_>, errors: &mut FieldErrors| {
        let text = fields.text(name, errors)?;
        let path = fields.path(name);
        let length = text.chars().count();
        if length > MAX_ABOUT {
            let message = format!("must have at most {MAX_ABOUT} characters, but has {length}");
            errors.add(path, message);
            return None;
        }
        if text.chars().any(char::is_control) {
            errors.add(path, "must not have control characters");
            return None;
        }
        Some(Box::from(text.as_ref()))
    };
    let number = |number: Option<i64>| number.and_then(|number| u32::try_from(number).ok());
    let about = WorkerAbout {
        host: text("host", &mut fields, errors),
        pid: number(fields.integer("pid", PID, errors)),
        client: text("client", &mut fields, errors),
        version: text("version", &mut fields, errors),
        concurrency: number(fields.integer("concurrency", CONCURRENCY, errors)),
        instance: text("instance", &mut fields, errors),
    };
    fields.finish(errors);
    about
}

/// Reads a report with many items.
pub fn update(
    fields: &mut Fields<'_>,
    errors: &mut FieldErrors,
    limits: &ReportLimits,
) -> WorkerUpdate {
    let extend = fields.texts("extend", errors).unwrap_or_default();
    if extend.len() > MAX_ITEMS {
        errors.add(fields.path("extend"), too_many(extend.len()));
    }
    let lease = fields.integer("lease_ms", LEASE_MS, errors).map_or(limits.lease, millis);
    let notes = each("note", fields, errors, |mut item, errors| {
        let lease = item.required_text("lease", errors);
        let note = note(item, errors, limits);
        Some(WorkerNote { lease: lease?.into_owned(), ..note })
    });
    let settles = each("settle", fields, errors, |mut item, errors| {
        let lease = item.required_text("lease", errors);
        let end = ending(item, errors, limits);
        Some(WorkerSettle { lease: lease?.into_owned(), end: end? })
    });
    let extend = extend.into_iter().map(|text| text.into_owned()).collect();
    WorkerUpdate { extend, lease, notes, settles }
}

/// Reads the report of a callback, which is about the one lease in its path.
pub fn callback(
    fields: &mut Fields<'_>,
    errors: &mut FieldErrors,
    lease: &str,
    limits: &ReportLimits,
) -> WorkerUpdate {
    let extend = fields.flag("extend", errors).unwrap_or_default();
    let time = fields.integer("lease_ms", LEASE_MS, errors).map_or(limits.lease, millis);
    let notes = fields.object("note", errors).map(|item| {
        let note = note(item, errors, limits);
        WorkerNote { lease: lease.to_owned(), ..note }
    });
    let settles = fields.object("settle", errors).and_then(|item| {
        let end = ending(item, errors, limits)?;
        Some(WorkerSettle { lease: lease.to_owned(), end })
    });
    WorkerUpdate {
        extend: if extend { vec![lease.to_owned()] } else { Vec::new() },
        lease: time,
        notes: notes.into_iter().collect(),
        settles: settles.into_iter().collect(),
    }
}

/// Reads each object of a list.
fn each<T>(
    field: &'static str,
    fields: &mut Fields<'_>,
    errors: &mut FieldErrors,
    mut read: impl FnMut(Fields<'_>, &mut FieldErrors) -> Option<T>,
) -> Vec<T> {
    let Some(value) = fields.optional(field) else { return Vec::new() };
    let path = fields.path(field);
    let Some(items) = items(value) else {
        errors.add(path, format!("must be an array of objects, but is {}", describe(value)));
        return Vec::new();
    };
    if items.len() > MAX_ITEMS {
        errors.add(path, too_many(items.len()));
        return Vec::new();
    }
    let mut all = Vec::with_capacity(items.len());
    for (at, item) in items.into_iter().enumerate() {
        let item = Fields::read_item(&path, at, item, errors);
        all.extend(item.and_then(|item| read(item, errors)));
    }
    all
}

fn too_many(count: usize) -> String {
    format!("must have at most {MAX_ITEMS} items, but has {count}")
}

/// Reads log lines and progress; the lease is that of the caller.
fn note(mut fields: Fields<'_>, errors: &mut FieldErrors, limits: &ReportLimits) -> WorkerNote {
    let lines = each("lines", &mut fields, errors, |mut line, errors| {
        let text = line.required_text("text", errors);
        let stream = line.text("stream", errors).map_or(Some(Stream::Log), |name| {
            let path = line.path("stream");
            errors.take(path, stream(&name))
        });
        let at = line.text("at", errors).map_or(Some(limits.now), |text| {
            let path = line.path("at");
            errors.take(path, text.parse::<Time>())
        });
        line.finish(errors);
        Some(LogLine { at: at?, stream: stream?, text: cut(&text?, MAX_LINE) })
    });
    let progress = fields.object("progress", errors).and_then(|mut fields| {
        let done = fields.required_integer("done", UNITS, errors);
        let total = fields.integer("total", UNITS, errors);
        let message = fields.text("message", errors).map(|text| cut(&text, MAX_MESSAGE));
        fields.finish(errors);
        let units = |number: i64| u64::try_from(number).unwrap_or_default();
        Some(Progress { done: units(done?), total: total.map(units), message })
    });
    fields.finish(errors);
    WorkerNote { lease: String::new(), lines, progress }
}

fn stream(name: &str) -> Result<Stream, String> {
    let all = [Stream::Log, Stream::Stdout, Stream::Stderr];
    let found = all.into_iter().find(|stream| stream.as_str() == name);
    found.ok_or_else(|| format!("must be log, stdout or stderr, but is {name:?}"))
}

fn cut(text: &str, max: usize) -> Box<str> {
    let kept = truncated(text, max);
    if kept.len() == text.len() { text.into() } else { format!("{kept}…").into() }
}

/// Reads how an attempt ended. A result that breaks a limit is not an error of the whole report.
fn ending(
    mut fields: Fields<'_>,
    errors: &mut FieldErrors,
    limits: &ReportLimits,
) -> Option<Result<AttemptEnding, String>> {
    let outcome = fields.required_text("outcome", errors)?;
    let end = match outcome.as_ref() {
        "done" => Some(match fields.raw("result") {
            Some(result) => self::result(result.get(), limits),
            None => Ok(Outcome::Done(Json::null())),
        }),
        "retry" => {
            let error = fields.required_text("error", errors);
            let after = fields.integer("after_ms", DELAY_MS, errors).map(millis);
            error.map(|error| Ok(Outcome::Retry { error: error.into_owned(), after }))
        }
        "snooze" => {
            let delay = fields.required_integer("delay_ms", DELAY_MS, errors);
            delay.map(|delay| Ok(Outcome::Snooze { delay: millis(delay) }))
        }
        "discard" => {
            let error = fields.required_text("error", errors);
            error.map(|error| Ok(Outcome::Discard { error: error.into_owned() }))
        }
        "cancelled" => Some(Ok(Outcome::Cancel)),
        "returned" => {
            fields.finish(errors);
            return Some(Ok(AttemptEnding::Returned));
        }
        "" => {
            errors.add(fields.path("outcome"), EMPTY);
            None
        }
        other => {
            let expected = "must be done, retry, snooze, discard, cancelled or returned";
            let found = shorten(other, MAX_ABOUT);
            errors.add(fields.path("outcome"), format!("{expected}, but is {found:?}"));
            None
        }
    };
    fields.finish(errors);
    end.map(|end| end.map(AttemptEnding::Reached))
}

fn result(text: &str, limits: &ReportLimits) -> Result<Outcome, String> {
    if text.len() > limits.max_result {
        let (size, limit) = (text.len(), limits.max_result);
        return Err(format!("the result has {size} bytes; the limit is {limit}"));
    }
    limits.json.check(text).map_err(|why| format!("the result is invalid: {why}"))?;
    Json::parse(text).map(Outcome::Done)
}

fn millis(number: i64) -> Duration {
    Duration::from_millis(u64::try_from(number).unwrap_or_default())
}
