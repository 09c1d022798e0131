//! Parses query strings into the types of the job layer. An unknown parameter is refused: a misspelled filter must not
//! silently select everything.

use std::borrow::Cow;
use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use crate::http::Problem;
use crate::http::stream::start::parse_cursor;
use crate::job::{
    Cursor, EventType, Filter, Invalid, JobQuery, QueueName, Time, add_names, moment,
    parse_duration,
};

/// The decoded pairs of a query string.
pub fn pairs(query: Option<&str>) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    url::form_urlencoded::parse(query.unwrap_or_default().as_bytes())
}

/// Parses the query of `GET /api/v1/jobs`: the filter, `after` and `limit`. Durations in it count back from `now`.
pub fn job_query(query: Option<&str>, now: Time) -> Result<JobQuery, Problem> {
    let mut parsed = JobQuery { limit: 50, ..JobQuery::default() };
    for (name, value) in pairs(query) {
        match &*name {
            "after" => parsed.after = optional(&value)?,
            "limit" => parsed.limit = limit(&value, JobQuery::MAX_LIMIT)?,
            field => add_to_job_query(&mut parsed, field, &value, now)?,
        }
    }
    Ok(parsed)
}

/// Adds one field of a filter on jobs: `q`, `state`, `queue`, `kind`, `tag`, `since` or `until`.
pub fn add_to_job_query(
    query: &mut JobQuery,
    field: &str,
    value: &str,
    now: Time,
) -> Result<(), Problem> {
    let time = |what| match value {
        "" => Ok(None),
        text => moment(what, text, now).map(Some).map_err(|error| invalid_values(&[error])),
    };
    match field {
        "q" => query.narrow(value, now).map_err(|errors| invalid_values(&errors)),
        "state" => add_values(&mut query.states, value),
        "queue" => add_values(&mut query.queues, value),
        "kind" => add_values(&mut query.kinds, value),
        "tag" => add_values(&mut query.tags, value),
        "since" => time("since").map(|since| query.since = since.max(query.since)),
        "until" => {
            let until = time("until")?;
            query.until = until.into_iter().chain(query.until).min();
            Ok(())
        }
        _ => Err(unknown(field, "q, state, queue, kind, tag, since, until, after, limit")),
    }
}

fn invalid_values(errors: &[Invalid]) -> Problem {
    let all: Vec<String> = errors.iter().map(ToString::to_string).collect();
    Problem::invalid_parameter(all.join("; "))
}

/// Parses a query that may hold only `limit`, at most `max`.
pub fn limit_query(query: Option<&str>, default: usize, max: usize) -> Result<usize, Problem> {
    let mut parsed = default;
    for (name, value) in pairs(query) {
        match &*name {
            "limit" => parsed = limit(&value, max)?,
            _ => return Err(unknown(&name, "limit")),
        }
    }
    Ok(parsed)
}

/// Parses the query of the history: `queue`, or nothing for the whole server.
pub fn history_query(query: Option<&str>) -> Result<Option<QueueName>, Problem> {
    let mut parsed = None;
    for (name, value) in pairs(query) {
        match &*name {
            "queue" => parsed = optional(&value)?,
            _ => return Err(unknown(&name, "queue")),
        }
    }
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
        if self.limit.is_some() || self.wait.is_some() {
            let detail = "limit and wait are only supported when polling, not on a stream";
            return Err(Problem::invalid_parameter(detail));
        }
        Ok(self)
    }
}

/// The largest number of events in one answer of `GET /api/v1/events`.
pub const MAX_EVENTS: usize = 1_000;

/// Parses `after`, `limit`, `wait`, `stats` and the filter: `queue`, `kind`, `job`, `type` and `tag`, each repeated or with
/// commas.
pub fn stream_query(query: Option<&str>) -> Result<StreamQuery, Problem> {
    let mut parsed = StreamQuery::default();
    let mut has_after = false;
    for (name, value) in pairs(query) {
        match &*name {
            "after" if std::mem::replace(&mut has_after, true) => {
                return Err(Problem::invalid_parameter("`after` can be given only once"));
            }
            "after" => parsed.after = parse_cursor(&value)?,
            "limit" => parsed.limit = Some(limit(&value, MAX_EVENTS)?),
            "wait" => parsed.wait = Some(duration(&value)?),
            "stats" => parsed.stats = flag(&value)?,
            field => add_to_filter(&mut parsed.filter, field, &value)?,
        }
    }
    Ok(parsed)
}

/// Adds one field of a filter on events, as in queries and `subscribe` messages.
pub fn add_to_filter(filter: &mut Filter, field: &str, value: &str) -> Result<(), Problem> {
    match field {
        "queue" => add_values(&mut filter.queues, value),
        "kind" => add_values(&mut filter.kinds, value),
        "job" => add_values(&mut filter.jobs, value),
        "tag" => add_values(&mut filter.tags, value),
        "type" => types(&mut filter.types, value),
        _ => Err(unknown(field, "after, limit, wait, stats, queue, kind, job, type, tag")),
    }
}

/// Parses a value that may be empty, as browsers send it for an empty field of a form.
fn optional<T: FromStr<Err: Display>>(value: &str) -> Result<Option<T>, Problem> {
    if value.is_empty() {
        return Ok(None);
    }
    value.parse().map(Some).map_err(|error: T::Err| Problem::invalid_parameter(error.to_string()))
}

fn add_values<T: FromStr<Err = Invalid> + PartialEq>(
    list: &mut Vec<T>,
    text: &str,
) -> Result<(), Problem> {
    let added = add_names("filter", list, text, |name| name.parse().map(Some));
    added.map_err(|errors| invalid_values(&errors))
}

/// Adds event types; a type may be a glob such as `job.*`.
fn types(list: &mut Vec<EventType>, text: &str) -> Result<(), Problem> {
    let added = add_names("filter", list, text, EventType::matching);
    added.map_err(|errors| invalid_values(&errors))
}

/// Parses a query that may hold only `wait`; zero if it is missing.
pub fn wait_query(query: Option<&str>) -> Result<Duration, Problem> {
    let mut wait = Duration::ZERO;
    for (name, value) in pairs(query) {
        match &*name {
            "wait" => wait = duration(&value)?,
            _ => return Err(unknown(&name, "wait")),
        }
    }
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
    let mut parsed = LogQuery::default();
    for (name, value) in pairs(query) {
        match &*name {
            "after" => parsed.after = optional(&value)?.unwrap_or_default(),
            "follow" => parsed.follow = flag(&value)?,
            "download" => parsed.download = flag(&value)?,
            _ => return Err(unknown(&name, "after, follow, download")),
        }
    }
    Ok(parsed)
}

/// Parses a flag; a name without a value means true.
fn flag(value: &str) -> Result<bool, Problem> {
    match value {
        "" | "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(Problem::invalid_parameter(format!("expected true or false, not {value:?}"))),
    }
}

/// Whether a query has `wait`, so that its answer may take longer than others.
pub fn asks_to_wait(query: Option<&str>) -> bool {
    pairs(query).any(|(name, _)| name == "wait")
}

/// Parses a duration such as `20s` or `1m 30s`, or a number of seconds.
fn duration(value: &str) -> Result<Duration, Problem> {
    if let Ok(seconds) = value.parse() {
        return Ok(Duration::from_secs(seconds));
    }
    parse_duration(value).map_err(Problem::invalid_parameter)
}

fn limit(value: &str, max: usize) -> Result<usize, Problem> {
    match value.parse() {
        Ok(n) if (1..=max).contains(&n) => Ok(n),
        Ok(_) | Err(_) => {
            Err(Problem::invalid_parameter(format!("limit must be 1 to {max}, not {value:?}")))
        }
    }
}

fn unknown(name: &str, known: &str) -> Problem {
    Problem::invalid_parameter(format!("unknown parameter {name:?}; expected one of {known}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::State;

    #[test]
    fn lists_may_repeat_or_use_commas() {
        let query = stream_query(Some("queue=a,b&queue=c&type=job.completed&tag=x%20y")).unwrap();
        let queues: Vec<&str> = query.filter.queues.iter().map(|q| q.as_str()).collect();
        assert_eq!(queues, ["a", "b", "c"]);
        assert_eq!(query.filter.types.len(), 1);
        assert_eq!(query.filter.tags[0].as_str(), "x y");
        let now = Time::from_millis(1_000_000);
        let text = "state=running,retryable&queue=&limit=7&q=queue:a+payload.x:1&tag=b,c&since=1m";
        let query = job_query(Some(text), now).unwrap();
        assert_eq!(query.states, [State::Running, State::Retryable]);
        assert_eq!((query.queues.len(), query.tags.len(), query.terms.len()), (1, 2, 1));
        assert_eq!((query.since, query.limit), (Some(Time::from_millis(940_000)), 7));
    }

    #[test]
    fn a_wait_is_a_length_of_time_and_a_type_may_be_a_glob() {
        for (text, seconds) in [("wait=20s", 20), ("wait=1m%2030s", 90), ("wait=7", 7)]
            .into_iter()
            .chain([("wait=1d", 86_400), ("wait=1%20hour", 3_600), ("wait=0", 0)])
        {
            let wait = wait_query(Some(text)).unwrap();
            assert_eq!(wait, Duration::from_secs(seconds), "{text}");
        }
        assert!(asks_to_wait(Some("a=1&wait=1s")) && !asks_to_wait(Some("waits=1")));
        let query = stream_query(Some("type=queue.re*,job.started&type=queue.resumed")).unwrap();
        assert_eq!(query.filter.types.len(), 2);
        assert!(query.endless().is_ok());
        assert!(stream_query(Some("wait=1s")).unwrap().endless().is_err());
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for bad in ["limit=0", "limit=501", "limit=x", "state=done", "colour=red", "after=1"]
            .into_iter()
            .chain(["q=colour:red", "since=soon", "until=x"])
        {
            let problem = job_query(Some(bad), Time::default()).unwrap_err();
            assert_eq!(problem.code(), "invalid_parameter", "{bad}");
        }
        for bad in ["after=here", "job=1", "type=job.finish", "state=running", "limit=1001"]
            .into_iter()
            .chain(["type=task.*", "wait=soon", "wait=-1s"])
        {
            assert_eq!(stream_query(Some(bad)).unwrap_err().code(), "invalid_parameter", "{bad}");
        }
    }
}
