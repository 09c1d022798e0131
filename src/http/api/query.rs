//! Query strings, parsed once into the words of the job layer. A name that is not known is refused:
//! a misspelt filter must not silently mean "everything".

use std::borrow::Cow;
use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use crate::http::Problem;
use crate::job::{
    Cursor, EventType, Filter, Invalid, JobQuery, QueueName, Time, add_names, moment,
    parse_duration,
};

/// The pairs of a query string, decoded.
pub fn pairs(query: Option<&str>) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    url::form_urlencoded::parse(query.unwrap_or_default().as_bytes())
}

/// What `GET /api/v1/jobs` asks for: the filter, `after`, `limit`. `now` is what a length of time counts
/// back from.
pub fn job_query(query: Option<&str>, now: Time) -> Result<JobQuery, Problem> {
    let mut wanted = JobQuery { limit: 50, ..JobQuery::default() };
    for (name, value) in pairs(query) {
        match &*name {
            "after" => wanted.after = one(&value)?,
            "limit" => wanted.limit = limit(&value, JobQuery::MAX_LIMIT)?,
            field => narrow(&mut wanted, field, &value, now)?,
        }
    }
    Ok(wanted)
}

/// Adds one field of a filter on jobs: `q`, `state`, `queue`, `kind`, `tag`, `since` or `until`.
pub fn narrow(query: &mut JobQuery, field: &str, value: &str, now: Time) -> Result<(), Problem> {
    let time = |what| match value {
        "" => Ok(None),
        text => moment(what, text, now).map(Some).map_err(|wrong| not_understood(&[wrong])),
    };
    match field {
        "q" => query.narrow(value, now).map_err(|wrong| not_understood(&wrong)),
        "state" => many(&mut query.states, value),
        "queue" => many(&mut query.queues, value),
        "kind" => many(&mut query.kinds, value),
        "tag" => many(&mut query.tags, value),
        "since" => time("since").map(|since| query.since = since.max(query.since)),
        "until" => {
            let until = time("until")?;
            query.until = until.into_iter().chain(query.until).min();
            Ok(())
        }
        _ => Err(unknown(field, "q, state, queue, kind, tag, since, until, after, limit")),
    }
}

fn not_understood(wrong: &[Invalid]) -> Problem {
    let all: Vec<String> = wrong.iter().map(ToString::to_string).collect();
    Problem::invalid_parameter(all.join("; "))
}

/// What a list of things in memory may ask for: `limit`, at most `max`.
pub fn limit_query(query: Option<&str>, usual: usize, max: usize) -> Result<usize, Problem> {
    let mut wanted = usual;
    for (name, value) in pairs(query) {
        match &*name {
            "limit" => wanted = limit(&value, max)?,
            _ => return Err(unknown(&name, "limit")),
        }
    }
    Ok(wanted)
}

/// Whose history is asked for: that of `queue`, or of the server.
pub fn history_query(query: Option<&str>) -> Result<Option<QueueName>, Problem> {
    let mut wanted = None;
    for (name, value) in pairs(query) {
        match &*name {
            "queue" => wanted = one(&value)?,
            _ => return Err(unknown(&name, "queue")),
        }
    }
    Ok(wanted)
}

/// What a reader of the stream asks for.
#[derive(Debug, Default)]
pub struct StreamQuery {
    /// Where to begin; at the head when left out.
    pub after: Option<Cursor>,
    /// What to let through.
    pub filter: Filter,
    /// Events wanted; only where events are polled.
    pub limit: Option<usize>,
    /// How long to wait for events; only where events are polled.
    pub wait: Option<Duration>,
}

impl StreamQuery {
    /// The query of a stream that has no end, and so neither `limit` nor `wait`.
    ///
    /// # Errors
    /// When one of them is there.
    pub fn endless(self) -> Result<Self, Problem> {
        if self.limit.is_some() || self.wait.is_some() {
            let detail = "limit and wait are for polling; this stream has no end";
            return Err(Problem::invalid_parameter(detail));
        }
        Ok(self)
    }
}

/// The longest answer of `GET /api/v1/events`, in events.
pub const MAX_EVENTS: usize = 1_000;

/// `after`, and the filter: `queue`, `kind`, `job`, `type`, `tag`, each repeatable or with commas.
pub fn stream_query(query: Option<&str>) -> Result<StreamQuery, Problem> {
    let mut wanted = StreamQuery::default();
    for (name, value) in pairs(query) {
        match &*name {
            "after" => wanted.after = one(&value)?,
            "limit" => wanted.limit = Some(limit(&value, MAX_EVENTS)?),
            "wait" => wanted.wait = Some(length(&value)?),
            field => add_to_filter(&mut wanted.filter, field, &value)?,
        }
    }
    Ok(wanted)
}

/// Adds one field of a filter, as it is named in queries and in `subscribe` messages.
pub fn add_to_filter(filter: &mut Filter, field: &str, value: &str) -> Result<(), Problem> {
    match field {
        "queue" => many(&mut filter.queues, value),
        "kind" => many(&mut filter.kinds, value),
        "job" => many(&mut filter.jobs, value),
        "tag" => many(&mut filter.tags, value),
        "type" => types(&mut filter.types, value),
        _ => Err(unknown(field, "after, limit, wait, queue, kind, job, type, tag")),
    }
}

/// An empty value is what an empty field of a form sends: no wish.
fn one<T: FromStr<Err: Display>>(value: &str) -> Result<Option<T>, Problem> {
    if value.is_empty() {
        return Ok(None);
    }
    value.parse().map(Some).map_err(|error: T::Err| Problem::invalid_parameter(error.to_string()))
}

fn many<T: FromStr<Err = Invalid> + PartialEq>(
    list: &mut Vec<T>,
    text: &str,
) -> Result<(), Problem> {
    let added = add_names("filter", list, text, |name| name.parse().map(Some));
    added.map_err(|wrong| not_understood(&wrong))
}

/// Names of types and globs such as `job.*`.
fn types(list: &mut Vec<EventType>, text: &str) -> Result<(), Problem> {
    let added = add_names("filter", list, text, EventType::matching);
    added.map_err(|wrong| not_understood(&wrong))
}

/// What a request for one job may ask for beside it: `wait`, zero when left out.
pub fn wait_query(query: Option<&str>) -> Result<Duration, Problem> {
    let mut wait = Duration::ZERO;
    for (name, value) in pairs(query) {
        match &*name {
            "wait" => wait = length(&value)?,
            _ => return Err(unknown(&name, "wait")),
        }
    }
    Ok(wait)
}

/// What `GET /api/v1/jobs/{id}/log` may ask for.
#[derive(Debug, Default)]
pub struct LogQuery {
    /// The number of the last line that is known already.
    pub after: u64,
    /// Whether the lines to come are wanted too.
    pub follow: bool,
    /// Whether a browser shall save the log as a file.
    pub download: bool,
}

/// `after` (a line's number), `follow`, `download`.
pub fn log_query(query: Option<&str>) -> Result<LogQuery, Problem> {
    let mut wanted = LogQuery::default();
    for (name, value) in pairs(query) {
        match &*name {
            "after" => wanted.after = one(&value)?.unwrap_or_default(),
            "follow" => wanted.follow = flag(&value)?,
            "download" => wanted.download = flag(&value)?,
            _ => return Err(unknown(&name, "after, follow, download")),
        }
    }
    Ok(wanted)
}

/// A name alone says yes.
fn flag(value: &str) -> Result<bool, Problem> {
    match value {
        "" | "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(Problem::invalid_parameter(format!("{value:?} is neither true nor false"))),
    }
}

/// Whether a query asks for a wait, so that its answer may come later than others.
pub fn asks_to_wait(query: Option<&str>) -> bool {
    pairs(query).any(|(name, _)| name == "wait")
}

/// A duration such as `20s` or `1m 30s`, or a number of seconds.
fn length(value: &str) -> Result<Duration, Problem> {
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
    Problem::invalid_parameter(format!("unknown parameter {name:?}; known: {known}"))
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
