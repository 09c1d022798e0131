//! Parses query strings into the types of the job layer. A parameter that is unknown, empty, or repeated without being a
//! list is refused: a misspelled filter must not silently select everything.

use std::borrow::Cow;
use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use crate::engine::{HistoryRange, WorkerQuery, WorkerState};
use crate::http::Problem;
pub use crate::job::fields::EMPTY;
use crate::job::fields::{REPEATED, describe, text, texts, unknown};
use crate::job::shorten::{MAX_NAME, shorten};
use crate::job::{
    Cursor, EventType, FieldErrors, Filter, FilterValue, Invalid, JobQuery, Kind, QueueName, Time,
    WorkerName, add_names, has_empty_name, moment, parse_duration,
};

/// The name and the value of a parameter.
type QueryPair<'q> = (Cow<'q, str>, Cow<'q, str>);

/// The parameters that an endpoint accepts.
struct Parameters {
    /// Those that may be given only once.
    once: &'static [&'static str],
    /// Those that may be repeated; each adds a value.
    lists: &'static [&'static str],
    /// Those that may be given only once and need no value: flags, and the cursor of a client that has none yet.
    without_value: &'static [&'static str],
}

impl Parameters {
    const NONE: Parameters = Parameters { once: &[], lists: &[], without_value: &[] };

    /// Decodes a query string. Returns the parameters that are known and have a value, and reports all others.
    fn read<'q>(&self, query: Option<&'q str>, errors: &mut FieldErrors) -> Vec<QueryPair<'q>> {
        let all: Vec<QueryPair<'q>> = pairs(query).collect();
        let mut valid = Vec::with_capacity(all.len());
        for (at, (name, value)) in all.iter().enumerate() {
            let needs_value = !self.without_value.contains(&name.as_ref());
            let is_single = !needs_value || self.once.contains(&name.as_ref());
            let wrong = if !is_single && !self.lists.contains(&name.as_ref()) {
                Some(self.unknown())
            } else if is_single && all[..at].iter().any(|(earlier, _)| earlier == name) {
                Some(REPEATED.to_owned())
            } else if needs_value && value.trim().is_empty() {
                Some(EMPTY.to_owned())
            } else {
                None
            };
            match wrong {
                Some(wrong) => errors.add(shorten(name, MAX_NAME), wrong),
                None => valid.push((name.clone(), value.clone())),
            }
            if at >= MAX_PARAMETERS {
                let message = format!("there are more than {MAX_PARAMETERS} parameters");
                errors.add(shorten(name, MAX_NAME), message);
                break;
            }
        }
        valid
    }

    /// Reads a query string and each of its parameters, and names all invalid ones.
    fn read_each(
        &self,
        query: Option<&str>,
        mut read: impl FnMut(&str, &str) -> Result<(), String>,
    ) -> Result<(), Problem> {
        let mut errors = FieldErrors::default();
        for (name, value) in self.read(query, &mut errors) {
            if let Err(message) = read(&name, &value) {
                errors.add(name.into_owned(), message);
            }
        }
        if errors.is_empty() {
            return Ok(());
        }
        let errors = errors.into_errors().into_iter();
        Err(Problem::invalid_parameters(errors.map(|error| (error.field.into(), error.message))))
    }

    fn unknown(&self) -> String {
        let known = [self.once, self.lists, self.without_value].concat();
        if known.is_empty() {
            "is not known; this address takes no parameters".to_owned()
        } else {
            unknown(&known)
        }
    }
}

/// The most parameters of a query string. Lists of names are bounded more tightly.
const MAX_PARAMETERS: usize = 1_000;

/// Refuses every parameter.
pub fn no_query(query: Option<&str>) -> Result<(), Problem> {
    Parameters::NONE.read_each(query, |_, _| Ok(()))
}

/// The decoded pairs of a query string.
fn pairs(query: Option<&str>) -> impl Iterator<Item = QueryPair<'_>> {
    url::form_urlencoded::parse(query.unwrap_or_default().as_bytes())
}

/// The names of the fields of a filter on jobs.
pub const JOB_FILTER: [&str; 9] =
    ["q", "state", "queue", "kind", "tag", "since", "until", "ended_since", "ended_until"];
/// The names of the fields of a filter on events.
pub const EVENT_FILTER: [&str; 6] = ["queue", "kind", "job", "type", "tag", "by"];

/// Parses the query of `GET /api/v1/jobs`: the filter, `after` and `limit`. Durations in it count back from `now`.
pub fn job_query(query: Option<&str>, now: Time) -> Result<JobQuery, Problem> {
    const ACCEPTED: Parameters = Parameters {
        once: &["since", "until", "ended_since", "ended_until", "limit"],
        lists: &["q", "state", "queue", "kind", "tag"],
        without_value: &["after"],
    };
    let mut parsed = JobQuery { limit: 50, ..JobQuery::default() };
    ACCEPTED.read_each(query, |name, value| {
        match name {
            "after" => parsed.after = optional(value)?,
            "limit" => parsed.limit = limit(value, JobQuery::MAX_LIMIT)?,
            field => narrow(&mut parsed, field, value, now).map_err(|all| joined(&all))?,
        }
        Ok(())
    })?;
    Ok(parsed)
}

/// The values of one field of a filter in JSON, each with its path: a string, or an array of strings, none of them empty. An
/// empty value or list would select everything, so it is refused.
pub fn filter_values<'v>(
    path: &str,
    value: &'v str,
    errors: &mut FieldErrors,
) -> Vec<(String, Cow<'v, str>)> {
    let values = if value.starts_with('[') {
        let values = texts(path, value, errors).unwrap_or_default();
        if values.is_empty() {
            errors.add(path.to_owned(), format!("must have a value, but is {}", describe(value)));
        }
        let indexed = values.into_iter().enumerate();
        indexed.map(|(at, value)| (format!("{path}[{at}]"), value)).collect()
    } else if value.starts_with('"') {
        errors
            .take(path.to_owned(), text(value))
            .map(|value| (path.to_owned(), value))
            .into_iter()
            .collect()
    } else {
        let message =
            format!("must be a string or an array of strings, but is {}", describe(value));
        errors.add(path.to_owned(), message);
        Vec::new()
    };
    let (empty, values): (Vec<_>, Vec<_>) =
        values.into_iter().partition(|(_, value)| value.trim().is_empty());
    empty.into_iter().for_each(|(path, _)| errors.add(path, EMPTY));
    values
}

/// Adds one field of a filter on jobs, one of [`JOB_FILTER`].
///
/// # Errors
/// The invalid values, with what is accepted.
pub fn narrow(
    query: &mut JobQuery,
    field: &str,
    value: &str,
    now: Time,
) -> Result<(), Vec<Invalid>> {
    let time = |what| moment(what, value, now).map_err(|error| vec![error]);
    match field {
        "q" if value.trim().is_empty() => {
            Err(vec![Invalid::new("q", value, "use a search, or leave it out")])
        }
        "q" => query.narrow(value, now),
        "state" => names(&mut query.states, value),
        "queue" => names(&mut query.queues, value),
        "kind" => names(&mut query.kinds, value),
        "tag" => names(&mut query.tags, value),
        "since" => time("since").map(|since| query.since = Some(since).max(query.since)),
        "until" => {
            let until = time("until")?;
            query.until = Some(query.until.map_or(until, |known| known.min(until)));
            Ok(())
        }
        "ended_since" => {
            let since = time("ended_since")?;
            query.ended_since = Some(since).max(query.ended_since);
            Ok(())
        }
        "ended_until" => {
            let until = time("ended_until")?;
            query.ended_until = Some(query.ended_until.map_or(until, |known| known.min(until)));
            Ok(())
        }
        other => Err(vec![Invalid::new(
            "field",
            other,
            "use one of q, state, queue, kind, tag, since, until, ended_since, ended_until",
        )]),
    }
}

fn names<T: FilterValue>(list: &mut Vec<T>, text: &str) -> Result<(), Vec<Invalid>> {
    check_elements(text)?;
    add_names(T::FIELD, list, text, |name| T::read(name).map(Some))
}

/// Refuses a list with an empty element, such as `a,,b`. A program that builds one has lost a name.
fn check_elements(text: &str) -> Result<(), Vec<Invalid>> {
    if has_empty_name(text) {
        let accepted = "every name between the commas must not be empty";
        return Err(vec![Invalid::new("list", text, accepted)]);
    }
    Ok(())
}

fn joined(errors: &[Invalid]) -> String {
    let all: Vec<String> = errors.iter().map(ToString::to_string).collect();
    all.join("; ")
}

/// Parses a query that may hold only `limit`, at most `max`.
pub fn limit_query(query: Option<&str>, default: usize, max: usize) -> Result<usize, Problem> {
    const ACCEPTED: Parameters = Parameters { once: &["limit"], ..Parameters::NONE };
    let mut parsed = default;
    ACCEPTED.read_each(query, |_, value| {
        parsed = limit(value, max)?;
        Ok(())
    })?;
    Ok(parsed)
}

/// The most workers in one answer of `GET /api/v1/workers`.
pub const MAX_WORKERS: usize = 1_000;
/// The most workers if the request does not say.
pub const USUAL_WORKERS: usize = 100;

/// The query of `GET /api/v1/workers`.
#[derive(Debug)]
pub struct WorkerListQuery {
    /// Which workers are wanted.
    pub filter: WorkerQuery,
    /// The name after which the list begins.
    pub after: Option<WorkerName>,
    /// The most workers in other processes, and the most attempts.
    pub limit: usize,
}

/// Parses the query of the list of workers: the filter, `after` and `limit`.
pub fn worker_query(query: Option<&str>) -> Result<WorkerListQuery, Problem> {
    const ACCEPTED: Parameters = Parameters {
        once: &["q", "limit"],
        lists: &["state", "kind", "queue"],
        without_value: &["after"],
    };
    let mut parsed =
        WorkerListQuery { filter: WorkerQuery::default(), after: None, limit: USUAL_WORKERS };
    let (mut kinds, mut queues) = (Vec::<Kind>::new(), Vec::<QueueName>::new());
    ACCEPTED.read_each(query, |name, value| {
        let added = match name {
            "after" => return optional(value).map(|after| parsed.after = after),
            "limit" => return limit(value, MAX_WORKERS).map(|limit| parsed.limit = limit),
            "q" => {
                parsed.filter.text = value.trim().to_owned();
                return Ok(());
            }
            "state" => worker_states(&mut parsed.filter.states, value),
            "kind" => names(&mut kinds, value),
            _ => names(&mut queues, value),
        };
        added.map_err(|errors| joined(&errors))
    })?;
    parsed.filter.kinds = kinds.iter().map(ToString::to_string).collect();
    parsed.filter.queues = queues.iter().map(ToString::to_string).collect();
    Ok(parsed)
}

fn worker_states(list: &mut Vec<WorkerState>, text: &str) -> Result<(), Vec<Invalid>> {
    check_elements(text)?;
    add_names("state", list, text, |name| {
        let state = WorkerState::from_name(name);
        state.map(Some).ok_or_else(|| {
            Invalid::new("state", name, "expected one of active, quiet, stopping, silent")
        })
    })
}

/// Parses the query of the history: `queue`, or nothing for the whole server, and the `range`, if one was named.
pub fn history_query(
    query: Option<&str>,
) -> Result<(Option<QueueName>, Option<HistoryRange>), Problem> {
    const ACCEPTED: Parameters = Parameters { once: &["queue", "range"], ..Parameters::NONE };
    let mut parsed = (None, None);
    ACCEPTED.read_each(query, |name, value| {
        if name == "range" {
            parsed.1 = Some(value.parse().map_err(|error: Invalid| error.to_string())?);
        } else {
            parsed.0 = Some(QueueName::stored(value).map_err(|error| error.to_string())?);
        }
        Ok(())
    })?;
    Ok(parsed)
}

/// The query of a reader of the event stream.
#[derive(Debug, Default)]
pub struct StreamQuery {
    /// The cursor after which the stream begins; the end of the log if it is missing.
    pub after: Option<Cursor>,
    /// The filter that events must pass.
    pub filter: Filter,
    /// The largest number of events; only when polling.
    pub limit: Option<usize>,
    /// How long to wait for events; only when polling.
    pub wait: Option<Duration>,
    /// Whether to send live statistics too; only over HTTP, because a WebSocket subscribes to them.
    pub stats: bool,
}

impl StreamQuery {
    /// Checks that the query has neither `limit` nor `wait`, which an endless stream does not support.
    ///
    /// # Errors
    /// When it has one of them.
    pub fn endless(self) -> Result<Self, Problem> {
        let given = [("limit", self.limit.is_some()), ("wait", self.wait.is_some())];
        let given = given.into_iter().filter(|(_, is_given)| *is_given);
        let mut errors = given
            .map(|(name, _)| (name.to_owned(), "is only supported when polling".to_owned()))
            .peekable();
        if errors.peek().is_some() { Err(Problem::invalid_parameters(errors)) } else { Ok(self) }
    }
}

/// The largest number of events in one answer of `GET /api/v1/events`.
pub const MAX_EVENTS: usize = 1_000;

/// Parses `after`, `limit`, `wait`, `stats` and the filter: `queue`, `kind`, `job`, `type`, `tag` and `by`, each repeated or with
/// commas.
pub fn stream_query(query: Option<&str>) -> Result<StreamQuery, Problem> {
    const ACCEPTED: Parameters = Parameters {
        once: &["limit", "wait"],
        lists: &EVENT_FILTER,
        without_value: &["after", "stats"],
    };
    let mut parsed = StreamQuery::default();
    ACCEPTED.read_each(query, |name, value| {
        match name {
            "after" => parsed.after = optional(value)?,
            "limit" => parsed.limit = Some(limit(value, MAX_EVENTS)?),
            "wait" => parsed.wait = Some(duration(value)?),
            "stats" => parsed.stats = flag(value)?,
            field => add_to_filter(&mut parsed.filter, field, value)?,
        }
        Ok(())
    })?;
    Ok(parsed)
}

/// Adds one field of a filter on events, as in queries and `subscribe` messages.
pub fn add_to_filter(filter: &mut Filter, field: &str, value: &str) -> Result<(), String> {
    let added = match field {
        "queue" => names(&mut filter.queues, value),
        "kind" => names(&mut filter.kinds, value),
        "job" => names(&mut filter.jobs, value),
        "tag" => names(&mut filter.tags, value),
        "by" => names(&mut filter.by, value),
        "type" => types(&mut filter.types, value),
        _ => return Err(unknown(&EVENT_FILTER)),
    };
    added.map_err(|errors| joined(&errors))
}

/// Parses a value that may be empty.
fn optional<T: FromStr<Err: Display>>(value: &str) -> Result<Option<T>, String> {
    if value.is_empty() {
        return Ok(None);
    }
    value.parse().map(Some).map_err(|error: T::Err| error.to_string())
}

/// Adds event types; a type may be a glob such as `job.*`.
fn types(list: &mut Vec<EventType>, text: &str) -> Result<(), Vec<Invalid>> {
    check_elements(text)?;
    add_names("type", list, text, EventType::matching)
}

/// Parses a query that may hold only `wait`; zero if it is missing.
pub fn wait_query(query: Option<&str>) -> Result<Duration, Problem> {
    const ACCEPTED: Parameters = Parameters { once: &["wait"], ..Parameters::NONE };
    let mut wait = Duration::ZERO;
    ACCEPTED.read_each(query, |_, value| {
        wait = duration(value)?;
        Ok(())
    })?;
    Ok(wait)
}

/// The query of `GET /api/v1/jobs/{id}/log`.
#[derive(Debug, Default)]
pub struct LogQuery {
    /// The number of the last line that the client has already.
    pub after: u64,
    /// Whether new lines are streamed too.
    pub follow: bool,
    /// Whether a browser should save the log as a file.
    pub download: bool,
}

/// Parses `after` (the number of a line), `follow` and `download`.
pub fn log_query(query: Option<&str>) -> Result<LogQuery, Problem> {
    const ACCEPTED: Parameters =
        Parameters { without_value: &["after", "follow", "download"], ..Parameters::NONE };
    let mut parsed = LogQuery::default();
    ACCEPTED.read_each(query, |name, value| {
        match name {
            "after" => parsed.after = line_number(value)?,
            "follow" => parsed.follow = flag(value)?,
            _ => parsed.download = flag(value)?,
        }
        Ok(())
    })?;
    Ok(parsed)
}

/// Parses the number of a line; zero if it is empty.
fn line_number(value: &str) -> Result<u64, String> {
    let is_number = value.bytes().all(|byte| byte.is_ascii_digit());
    match value.parse() {
        Ok(number) if is_number => Ok(number),
        _ if value.is_empty() => Ok(0),
        Ok(_) | Err(_) => {
            Err(format!("must be an integer from 0 to {}, but is {}", u64::MAX, shown(value)))
        }
    }
}

/// A value in an error.
fn shown(value: &str) -> String {
    format!("{:?}", shorten(value, MAX_NAME))
}

/// Parses a flag; a name without a value means true.
fn flag(value: &str) -> Result<bool, String> {
    match value {
        "" | "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(format!("must be true or false, but is {}", shown(value))),
    }
}

/// Whether a query has `wait`, so that its answer may take longer than others.
pub fn asks_to_wait(query: Option<&str>) -> bool {
    pairs(query).any(|(name, _)| name == "wait")
}

/// Parses a duration such as `20s` or `1m 30s`, or a number of seconds.
fn duration(value: &str) -> Result<Duration, String> {
    if let Ok(seconds) = value.parse() {
        return Ok(Duration::from_secs(seconds));
    }
    parse_duration(value).map_err(|_| {
        format!("must be a duration such as 20s, 1m 30s or 500ms, but is {}", shown(value))
    })
}

fn limit(value: &str, max: usize) -> Result<usize, String> {
    match value.parse() {
        Ok(n) if (1..=max).contains(&n) => Ok(n),
        Ok(_) | Err(_) => {
            Err(format!("must be an integer from 1 to {max}, but is {}", shown(value)))
        }
    }
}

#[cfg(test)]
#[path = "../tests/query.rs"]
mod tests;
