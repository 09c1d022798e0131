//! Query strings, parsed once into the words of the job layer. A name that is not known is refused:
//! a misspelt filter must not silently mean "everything".

use std::borrow::Cow;
use std::fmt::Display;
use std::str::FromStr;

use super::Problem;
use crate::job::{Cursor, Filter, JobQuery};

/// The pairs of a query string, decoded.
pub fn pairs(query: Option<&str>) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    url::form_urlencoded::parse(query.unwrap_or_default().as_bytes())
}

/// What `GET /api/v1/jobs` asks for: `state`, `queue`, `kind`, `tag`, `after`, `limit`.
pub fn job_query(query: Option<&str>) -> Result<JobQuery, Problem> {
    let mut wanted = JobQuery { limit: 50, ..JobQuery::default() };
    for (name, value) in pairs(query) {
        match &*name {
            "state" => many(&mut wanted.states, &value)?,
            "queue" => wanted.queue = one(&value)?,
            "kind" => wanted.kind = one(&value)?,
            "tag" => wanted.tag = one(&value)?,
            "after" => wanted.after = one(&value)?,
            "limit" => wanted.limit = limit(&value, JobQuery::MAX_LIMIT)?,
            _ => return Err(unknown(&name, "state, queue, kind, tag, after, limit")),
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
        "type" => many(&mut filter.types, value),
        _ => Err(unknown(field, "after, limit, queue, kind, job, type, tag")),
    }
}

/// An empty value is what an empty field of a form sends: no wish.
fn one<T: FromStr<Err: Display>>(value: &str) -> Result<Option<T>, Problem> {
    if value.is_empty() {
        return Ok(None);
    }
    value.parse().map(Some).map_err(|error: T::Err| Problem::invalid_parameter(error.to_string()))
}

fn many<T: FromStr<Err: Display> + PartialEq>(
    list: &mut Vec<T>,
    value: &str,
) -> Result<(), Problem> {
    const MAX: usize = 100;
    for part in value.split(',') {
        if let Some(parsed) = one(part.trim())?
            && !list.contains(&parsed)
        {
            list.push(parsed);
        }
        if list.len() > MAX {
            return Err(Problem::invalid_parameter(format!("more than {MAX} values for one name")));
        }
    }
    Ok(())
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
        let query = job_query(Some("state=running,retryable&queue=&limit=7")).unwrap();
        assert_eq!(query.states, [State::Running, State::Retryable]);
        assert_eq!((query.queue, query.limit), (None, 7));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for bad in ["limit=0", "limit=501", "limit=x", "state=done", "colour=red", "after=1"] {
            assert_eq!(job_query(Some(bad)).unwrap_err().code(), "invalid_parameter", "{bad}");
        }
        for bad in ["after=here", "job=1", "type=job.finish", "state=running", "limit=1001"] {
            assert_eq!(stream_query(Some(bad)).unwrap_err().code(), "invalid_parameter", "{bad}");
        }
    }
}
