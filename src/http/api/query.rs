//! Parses query strings into the types of the job layer. A parameter that is unknown, empty, or repeated without being a
//! list is refused: a misspelled filter must not silently select everything.

use std::borrow::Cow;
use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use crate::http::Problem;
use crate::job::fields::{REPEATED, describe, text, texts, unknown};
use crate::job::shorten::{MAX_NAME, shorten};
use crate::job::{
    Cursor, EventType, FieldErrors, Filter, FilterValue, Invalid, JobQuery, QueueName, Time,
    add_names, moment, parse_duration,
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

    /// Decodes a query string, in which every name is known and has a value.
    fn read<'q>(&self, query: Option<&'q str>) -> Result<Vec<QueryPair<'q>>, Problem> {
        let pairs: Vec<QueryPair<'q>> = pairs(query).collect();
        let mut wrong: Vec<(String, String)> = Vec::new();
        let mut add = |name: &str, message: String| {
            if !wrong.iter().any(|(known, _)| known == name) {
                wrong.push((shorten(name, MAX_NAME), message));
            }
        };
        for (at, (name, value)) in pairs.iter().enumerate() {
            let name = name.as_ref();
            let needs_value = !self.without_value.contains(&name);
            let is_single = !needs_value || self.once.contains(&name);
            if !is_single && !self.lists.contains(&name) {
                add(name, self.unknown());
            } else if is_single && pairs[..at].iter().any(|(earlier, _)| earlier == name) {
                add(name, REPEATED.to_owned());
            } else if needs_value && value.trim().is_empty() {
                add(name, EMPTY.to_owned());
            }
            if at > MAX_PARAMETERS {
                add(name, format!("there are more than {MAX_PARAMETERS} parameters"));
                break;
            }
        }
        if wrong.is_empty() {
            Ok(pairs)
        } else {
            Err(Problem::invalid_parameters(wrong.into_iter()))
        }
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

/// The words for a parameter or a field of a filter without a value, which would select everything.
pub const EMPTY: &str = "must not be empty: give it a value, or leave it out";
/// The most parameters of a query string. Lists of names are bounded more tightly.
const MAX_PARAMETERS: usize = 1_000;

/// Refuses every parameter.
pub fn no_query(query: Option<&str>) -> Result<(), Problem> {
    Parameters::NONE.read(query).map(drop)
}

/// The decoded pairs of a query string.
fn pairs(query: Option<&str>) -> impl Iterator<Item = QueryPair<'_>> {
    url::form_urlencoded::parse(query.unwrap_or_default().as_bytes())
}

/// The names of the fields of a filter on jobs.
pub const JOB_FILTER: [&str; 7] = ["q", "state", "queue", "kind", "tag", "since", "until"];
/// The names of the fields of a filter on events.
pub const EVENT_FILTER: [&str; 5] = ["queue", "kind", "job", "type", "tag"];

/// Parses the query of `GET /api/v1/jobs`: the filter, `after` and `limit`. Durations in it count back from `now`.
pub fn job_query(query: Option<&str>, now: Time) -> Result<JobQuery, Problem> {
    const ACCEPTED: Parameters = Parameters {
        once: &["since", "until", "limit"],
        lists: &["q", "state", "queue", "kind", "tag"],
        without_value: &["after"],
    };
    let mut parsed = JobQuery { limit: 50, ..JobQuery::default() };
    for (name, value) in ACCEPTED.read(query)? {
        match &*name {
            "after" => parsed.after = optional(&value)?,
            "limit" => parsed.limit = limit(&value, JobQuery::MAX_LIMIT)?,
            field => narrow(&mut parsed, field, &value, now).map_err(|all| invalid_values(&all))?,
        }
    }
    Ok(parsed)
}

/// The values of one field of a filter in JSON: a string, or an array of strings, none of them empty. An empty value or
/// list would select everything, so it is refused.
pub fn filter_values(path: &str, value: &str, errors: &mut FieldErrors) -> Vec<String> {
    let values = if value.starts_with('[') {
        let values = texts(path, value, errors);
        if values.as_ref().is_some_and(Vec::is_empty) {
            errors.add(path.to_owned(), format!("must have a value, but is {}", describe(value)));
        }
        values.unwrap_or_default()
    } else if value.starts_with('"') {
        errors.take(path.to_owned(), text(value)).into_iter().collect()
    } else {
        let message =
            format!("must be a string or an array of strings, but is {}", describe(value));
        errors.add(path.to_owned(), message);
        Vec::new()
    };
    if values.iter().any(|value| value.trim().is_empty()) {
        errors.add(path.to_owned(), EMPTY);
        return Vec::new();
    }
    values.into_iter().map(Into::into).collect()
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
        other => Err(vec![Invalid::new(
            "field",
            other,
            "use one of q, state, queue, kind, tag, since, until",
        )]),
    }
}

fn names<T: FilterValue>(list: &mut Vec<T>, text: &str) -> Result<(), Vec<Invalid>> {
    add_names("filter", list, text, |name| T::read(name).map(Some))
}

fn invalid_values(errors: &[Invalid]) -> Problem {
    let all: Vec<String> = errors.iter().map(ToString::to_string).collect();
    Problem::invalid_parameter(all.join("; "))
}

/// Parses a query that may hold only `limit`, at most `max`.
pub fn limit_query(query: Option<&str>, default: usize, max: usize) -> Result<usize, Problem> {
    const ACCEPTED: Parameters = Parameters { once: &["limit"], ..Parameters::NONE };
    let mut parsed = default;
    for (_, value) in ACCEPTED.read(query)? {
        parsed = limit(&value, max)?;
    }
    Ok(parsed)
}

/// Parses the query of the history: `queue`, or nothing for the whole server.
pub fn history_query(query: Option<&str>) -> Result<Option<QueueName>, Problem> {
    const ACCEPTED: Parameters = Parameters { once: &["queue"], ..Parameters::NONE };
    let mut parsed = None;
    for (_, value) in ACCEPTED.read(query)? {
        let queue = QueueName::stored(&value);
        parsed = Some(queue.map_err(|error| Problem::invalid_parameter(error.to_string()))?);
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
    const ACCEPTED: Parameters = Parameters {
        once: &["limit", "wait"],
        lists: &EVENT_FILTER,
        without_value: &["after", "stats"],
    };
    let mut parsed = StreamQuery::default();
    for (name, value) in ACCEPTED.read(query)? {
        match &*name {
            "after" => parsed.after = optional(&value)?,
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
        other => {
            let error = (format!("filter.{other}"), unknown(&EVENT_FILTER));
            Err(Problem::invalid_parameters(std::iter::once(error)))
        }
    }
}

/// Parses a value that may be empty.
fn optional<T: FromStr<Err: Display>>(value: &str) -> Result<Option<T>, Problem> {
    if value.is_empty() {
        return Ok(None);
    }
    value.parse().map(Some).map_err(|error: T::Err| Problem::invalid_parameter(error.to_string()))
}

fn add_values<T: FilterValue>(list: &mut Vec<T>, text: &str) -> Result<(), Problem> {
    names(list, text).map_err(|errors| invalid_values(&errors))
}

/// Adds event types; a type may be a glob such as `job.*`.
fn types(list: &mut Vec<EventType>, text: &str) -> Result<(), Problem> {
    let added = add_names("filter", list, text, EventType::matching);
    added.map_err(|errors| invalid_values(&errors))
}

/// Parses a query that may hold only `wait`; zero if it is missing.
pub fn wait_query(query: Option<&str>) -> Result<Duration, Problem> {
    const ACCEPTED: Parameters = Parameters { once: &["wait"], ..Parameters::NONE };
    let mut wait = Duration::ZERO;
    for (_, value) in ACCEPTED.read(query)? {
        wait = duration(&value)?;
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
    const ACCEPTED: Parameters =
        Parameters { without_value: &["after", "follow", "download"], ..Parameters::NONE };
    let mut parsed = LogQuery::default();
    for (name, value) in ACCEPTED.read(query)? {
        match &*name {
            "after" => parsed.after = optional(&value)?.unwrap_or_default(),
            "follow" => parsed.follow = flag(&value)?,
            _ => parsed.download = flag(&value)?,
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
        let text = "state=running,retryable&limit=7&q=queue:a+payload.x:1&tag=b,c&since=1m";
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
            .chain(["q=colour:red", "since=soon", "until=x", "limit=1&limit=2", "after=&after="])
            .chain([
                "state=", "queue=", "kind=+", "tag=,", "q=", "since=", "until=", "limit=", "=x",
            ])
        {
            let problem = job_query(Some(bad), Time::default()).unwrap_err();
            assert_eq!(problem.code(), "invalid_parameter", "{bad}");
        }
        for bad in ["after=here", "job=1", "type=job.finish", "state=running", "limit=1001"]
            .into_iter()
            .chain([
                "type=task.*",
                "wait=soon",
                "wait=-1s",
                "wait=1s&wait=2s",
                "stats&stats",
                "after=&after=",
            ])
            .chain(["queue=", "type=", "job=,", "tag=%20", "kind", "bogus=1", "bogus"])
        {
            assert_eq!(stream_query(Some(bad)).unwrap_err().code(), "invalid_parameter", "{bad}");
        }
        for bad in ["limit=1", "a&b=2"] {
            let problem = no_query(Some(bad)).unwrap_err();
            assert!(problem.detail().contains("takes no parameters"), "{}", problem.detail());
        }
        assert!(no_query(Some("&&")).is_ok() && no_query(None).is_ok());
        let problem = limit_query(Some("queue=mail&state=x"), 1, 9).unwrap_err();
        assert_eq!(
            problem.detail(),
            "queue: is not known; expected one of limit; state: is not known; expected one of limit"
        );
    }
}
