//! Reads a line of an export. A store accepts what follows the rules of submissions, which are checked in the same words, and
//! what stores of older versions may hold besides.

use super::Piece;
use super::exported::ExportedPiece;
use crate::job::limits::{ATTEMPTS, MAX_TAGS, STORED_BACKOFF_MS, TIMEOUT_MS, base_exceeds_cap};
use crate::job::refusal::Refusal;
use crate::job::shorten::{MAX_ERRORS, MAX_MESSAGE, first_few, shorten};
use crate::job::{
    AccessChange, AccessSubject, Actor, Backoff, Change, DeclaredKind, Event, Fact, FieldErrors,
    IdempotencyKey, IntegerRange, Job, Json, JsonLimits, Kind, KindDefaults, KindSpec, Labels,
    LinkSubject, QueueName, Scan, Schedule, ScheduleChange, ScheduleName, SessionId, Spec, Tag,
    Time, TokenId, WorkerName, parse_value,
};
use crate::store::formats::EXPORT;

/// The attempts of a job that somebody may have retried again and again.
const EXTENDED_ATTEMPTS: IntegerRange = IntegerRange::new(1, u16::MAX as i64);

impl Piece {
    /// Reads a line and checks everything in it that a store relies on.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn from_line(line: &[u8]) -> Result<Piece, String> {
        // Payloads and results are texts here, which hold whatever older versions accepted; what is around
        // them is as flat as this program writes it.
        let limits = JsonLimits { depth: JsonLimits::MAX_DEPTH, ..JsonLimits::NONE };
        Scan::new(limits).feed(line).map_err(|why| format!("{why} ({})", why.code()))?;
        let piece = serde_json::from_slice::<Piece>(line);
        let piece = piece.map_err(|error| shorten(&unreadable(line, &error), MAX_MESSAGE))?;
        check(&piece)?;
        Ok(piece)
    }
}

/// Why a line cannot be read, with the path of the member. The number of the line is added by the reader of the file.
fn unreadable(line: &[u8], error: &serde_json::Error) -> String {
    let text = String::from_utf8_lossy(line);
    if let Err(malformed) = parse_value("it", &text) {
        return malformed;
    }
    // The path is only tracked when something is wrong, because that takes time.
    let mut json = serde_json::Deserializer::from_slice(line);
    let (path, error) = match serde_path_to_error::deserialize::<_, ExportedPiece>(&mut json) {
        Ok(_) => (String::new(), error.to_string()),
        Err(error) => (error.path().to_string(), error.inner().to_string()),
    };
    let message = error.rsplit_once(" at line ").map_or(&*error, |(message, _)| message);
    let refusal = Refusal::of(message, "an object");
    let path = refusal.path(path.trim_matches('.'));
    if path.is_empty() { refusal.message } else { format!("{path}: {}", refusal.message) }
}

/// Checks a piece.
///
/// # Errors
/// All that is wrong with it, with the paths of the members.
fn check(piece: &Piece) -> Result<(), String> {
    let mut errors = FieldErrors::default();
    match piece {
        Piece::Head(head) => {
            errors.take("head.cortado_export", EXPORT.check(head.cortado_export.into()));
            time("head.at", head.at, &mut errors);
        }
        // The bytes of a record were checked when they were read.
        Piece::End(_) | Piece::Access(_) => {}
        Piece::Queue { name, .. } => {
            errors.take("queue.name", QueueName::stored(name.as_str()));
        }
        Piece::Schedule(schedule) => check_schedule(schedule, &mut errors),
        Piece::Kind(kind) => check_kind(kind, &mut errors),
        Piece::Event(Event { at, by, fact, .. }) => {
            time("event.at", *at, &mut errors);
            actor("event.by", by.as_ref(), &mut errors);
            check_fact(fact, *at, &mut errors);
        }
        Piece::Job(job) => check_job(job, &mut errors),
    }
    let wrong = errors.into_errors();
    if wrong.is_empty() {
        return Ok(());
    }
    let wrong = wrong.iter().map(|error| format!("{}: {}", error.field, error.message));
    Err(first_few(wrong, MAX_ERRORS, "; "))
}

fn check_schedule(schedule: &Schedule, errors: &mut FieldErrors) {
    errors.take("schedule.name", ScheduleName::stored(schedule.name.as_str()));
    time("schedule.set_at", schedule.set_at, errors);
    some_time("schedule.next_at", schedule.next_at, errors);
    if let Some(last) = &schedule.last {
        some_time("schedule.last.due", last.due, errors);
        time("schedule.last.at", last.at, errors);
    }
    let spec = &schedule.spec;
    errors.take("schedule.spec.cron.pattern", spec.cron.check_pattern());
    errors.take("schedule.spec.cron.zone", spec.cron.check_zone());
    labels("schedule.spec.labels", &spec.labels, errors);
    check_spec("schedule.spec.spec", &spec.spec, errors);
    // All its jobs would have the same key, so only the first would be created.
    if spec.spec.idempotency_key.is_some() {
        errors.add("schedule.spec.spec.idempotency_key", "must be null in a schedule");
    }
}

fn check_kind(kind: &DeclaredKind, errors: &mut FieldErrors) {
    errors.take("kind.name", Kind::stored(kind.name.as_str()));
    time("kind.set_at", kind.set_at, errors);
    let KindSpec { about, example, schema, defaults } = &kind.spec;
    if let Some(about) = about {
        errors.take("kind.spec.about", KindSpec::check_about(about));
    }
    if let Some(example) = example {
        errors.take("kind.spec.example", KindSpec::check_length(example.as_str()));
        json("kind.spec.example".into(), example, errors);
    }
    if let Some(schema) = schema {
        errors.take("kind.spec.schema", KindSpec::parse_schema(schema.source().as_str()));
    }
    let KindDefaults { queue, max_attempts, backoff, timeout_ms } = defaults;
    let path = "kind.spec.defaults";
    if let Some(queue) = queue {
        errors.take(format!("{path}.queue"), QueueName::stored(queue.as_str()));
    }
    if let Some(attempts) = max_attempts {
        errors.take(format!("{path}.max_attempts"), ATTEMPTS.check(*attempts));
    }
    if let Some(backoff) = backoff {
        check_backoff(&format!("{path}.backoff"), *backoff, errors);
    }
    check_timeout(path, *timeout_ms, errors);
}

fn check_fact(fact: &Fact, at: Time, errors: &mut FieldErrors) {
    match fact {
        Fact::Queue { queue, .. } => {
            errors.take("event.fact.queue.queue", QueueName::stored(queue.as_str()));
        }
        Fact::Schedule { schedule, change } => {
            errors.take("event.fact.schedule.schedule", ScheduleName::stored(schedule.as_str()));
            let (due, next_at) = match *change {
                ScheduleChange::Set { next_at } | ScheduleChange::Resumed { next_at } => {
                    (None, next_at)
                }
                ScheduleChange::Fired { due, next_at, .. } => (due, next_at),
                ScheduleChange::Skipped { due, next_at, .. } => (Some(due), next_at),
                ScheduleChange::Deleted | ScheduleChange::Paused => (None, None),
            };
            some_time("event.fact.schedule.change", due.or(next_at), errors);
            some_time("event.fact.schedule.change", next_at, errors);
        }
        Fact::Access { subject, change } => {
            check_subject("event.fact.access.subject", subject, errors);
            let end = match *change {
                AccessChange::TokenAdded { expires_at, .. } => expires_at,
                AccessChange::LinkAdded { expires_at } => Some(expires_at),
                AccessChange::UserAdded { .. }
                | AccessChange::UserRoleSet { .. }
                | AccessChange::UserPasswordSet
                | AccessChange::UserDisabled
                | AccessChange::UserEnabled
                | AccessChange::UserDeleted
                | AccessChange::TokenRevoked
                | AccessChange::SessionOpened
                | AccessChange::SessionClosed
                | AccessChange::LinkRevoked => None,
            };
            some_time("event.fact.access.change", end, errors);
        }
        Fact::Kind { kind, .. } => {
            errors.take("event.fact.kind.kind", Kind::stored(kind.as_str()));
        }
        Fact::Worker { worker, .. } => {
            errors.take("event.fact.worker.worker", WorkerName::stored(worker.as_str()));
        }
        Fact::Job { labels: of_job, change, .. } => {
            some_time("event.fact.job.change", change.run_at(at), errors);
            labels("event.fact.job.labels", of_job, errors);
            check_change("event.fact.job.change", change, errors);
        }
    }
}

fn check_subject(path: &str, subject: &AccessSubject, errors: &mut FieldErrors) {
    match subject {
        AccessSubject::User(name) => actor(path, Some(&Actor::User(name.clone())), errors),
        AccessSubject::Token { id, name } => {
            errors.take(format!("{path}.token.id"), TokenId::stored(id.as_str()));
            actor(&format!("{path}.token.name"), Some(&Actor::Token(name.clone())), errors);
        }
        AccessSubject::Session { id, of } => {
            errors.take(format!("{path}.session.id"), SessionId::stored(id.as_str()));
            actor(&format!("{path}.session.of"), Some(of), errors);
        }
        AccessSubject::Link { id, to } => {
            actor(&format!("{path}.link.id"), Some(&Actor::Link(id.clone())), errors);
            if let LinkSubject::Queue(queue) = to {
                errors.take(format!("{path}.link.to"), QueueName::stored(queue.as_str()));
            }
        }
    }
}

fn check_job(job: &Job, errors: &mut FieldErrors) {
    time("job.enqueued_at", job.enqueued_at, errors);
    actor("job.enqueued_by", job.enqueued_by.as_ref(), errors);
    time("job.run_at", job.run_at, errors);
    labels("job.labels", &job.labels, errors);
    check_spec("job.spec", &job.spec, errors);
    errors.take("job.status.max_attempts", EXTENDED_ATTEMPTS.check(job.status.max_attempts));
    for (at, moment) in job.history.iter().enumerate() {
        if !moment.at.has_date() {
            time(&format!("job.history[{at}].at"), moment.at, errors);
        }
        if moment.by.is_some() {
            actor(&format!("job.history[{at}].by"), moment.by.as_ref(), errors);
        }
        check_change(&format!("job.history[{at}].change"), &moment.change, errors);
    }
    for (at, line) in job.log.iter().enumerate().filter(|(_, line)| !line.at.has_date()) {
        time(&format!("job.log[{at}].at"), line.at, errors);
    }
}

/// Pages and answers show times as dates.
fn time(path: &str, at: Time, errors: &mut FieldErrors) {
    if !at.has_date() {
        errors.add(path.to_owned(), format!("the time {at} is out of range"));
    }
}

fn actor(path: &str, actor: Option<&Actor>, errors: &mut FieldErrors) {
    if let Some(actor) = actor {
        errors.take(path.to_owned(), actor.to_string().parse::<Actor>());
    }
}

fn some_time(path: &str, at: Option<Time>, errors: &mut FieldErrors) {
    if let Some(at) = at {
        time(path, at, errors);
    }
}

fn labels(path: &str, labels: &Labels, errors: &mut FieldErrors) {
    errors.take(format!("{path}.queue"), QueueName::stored(labels.queue.as_str()));
    errors.take(format!("{path}.kind"), Kind::stored(labels.kind.as_str()));
    for (at, tag) in labels.tags.iter().enumerate() {
        errors.take(format!("{path}.tags[{at}]"), Tag::stored(tag.as_str()));
    }
    // One more, because a job of a schedule has the tag of its schedule.
    if labels.tags.len() > MAX_TAGS + 1 {
        errors
            .add(format!("{path}.tags"), format!("at most {MAX_TAGS} different tags are accepted"));
    }
}

fn check_spec(path: &str, spec: &Spec, errors: &mut FieldErrors) {
    errors.take(format!("{path}.retry.max_attempts"), ATTEMPTS.check(spec.retry.max_attempts));
    check_backoff(&format!("{path}.retry.backoff"), spec.retry.backoff, errors);
    check_timeout(path, spec.timeout_ms, errors);
    if let Some(key) = &spec.idempotency_key {
        errors.take(format!("{path}.idempotency_key"), IdempotencyKey::stored(key.as_str()));
    }
    json(format!("{path}.payload"), &spec.payload, errors);
}

fn check_backoff(path: &str, Backoff { base_ms, cap_ms }: Backoff, errors: &mut FieldErrors) {
    errors.take(format!("{path}.base_ms"), STORED_BACKOFF_MS.check(base_ms));
    errors.take(format!("{path}.cap_ms"), STORED_BACKOFF_MS.check(cap_ms));
    if base_ms > cap_ms {
        errors.add(format!("{path}.base_ms"), base_exceeds_cap(base_ms, cap_ms));
    }
}

fn check_timeout(path: &str, timeout_ms: Option<u64>, errors: &mut FieldErrors) {
    if let Some(ms) = timeout_ms {
        errors.take(format!("{path}.timeout_ms"), TIMEOUT_MS.check(ms));
    }
}

fn check_change(path: &str, change: &Change, errors: &mut FieldErrors) {
    match change {
        Change::Enqueued { spec, .. } => check_spec(&format!("{path}.enqueued.spec"), spec, errors),
        Change::Started { worker } => {
            errors
                .take(format!("{path}.started.worker"), WorkerName::stored(worker.name().as_str()));
        }
        Change::Completed { result } => json(format!("{path}.completed.result"), result, errors),
        Change::Moved { from } => {
            errors.take(format!("{path}.moved.from"), QueueName::stored(from.as_str()));
        }
        Change::BecameAvailable
        | Change::Progressed(_)
        | Change::Logged(_)
        | Change::RetryScheduled { .. }
        | Change::Snoozed { .. }
        | Change::Discarded { .. }
        | Change::CancelAsked
        | Change::Cancelled
        | Change::Interrupted { .. }
        | Change::Rescued { .. }
        | Change::Retried
        | Change::Deleted
        | Change::Reprioritised { .. } => {}
    }
}

fn json(path: String, json: &Json, errors: &mut FieldErrors) {
    errors.take(path, parse_value("the JSON in it", json.as_str()));
}
