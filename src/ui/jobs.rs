//! Lists of jobs, newest first: by state, queue, kind and tag, all of it in the URL.

use std::str::FromStr;

use askama::Template;
use axum::extract::{Query, State as Has};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use url::form_urlencoded::Serializer;

use crate::engine::{Engine, Stats};
use crate::job::{JobQuery, Kind, State};

use super::error::{UiError, sentence};
use super::filters;
use super::row::Row;
use super::shell::{Section, Shell, page};

/// Rows on a page: a few screens, quick to read and to render.
const LIMIT: usize = 50;

/// What the URL asks for; empty fields ask for nothing.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Params {
    state: String,
    queue: String,
    kind: String,
    tag: String,
    after: String,
}

#[derive(Template)]
#[template(path = "jobs.html")]
struct Jobs {
    shell: Shell,
    params: Params,
    heading: &'static str,
    tabs: Vec<Tab>,
    queues: Vec<String>,
    kinds: Vec<String>,
    rows: Vec<Row>,
    problems: Vec<String>,
    next: Option<String>,
    newest: String,
}

/// One state, or all of them, with its count when that is known without a scan.
struct Tab {
    name: &'static str,
    label: &'static str,
    link: String,
    count: Option<u64>,
    current: bool,
}

/// `GET /jobs`
pub async fn show(
    Has(engine): Has<Engine>,
    Query(params): Query<Params>,
) -> Result<Response, UiError> {
    let stats = engine.stats().await?;
    let (query, problems) = params.query();
    let found = match problems.is_empty() {
        true => Some(engine.jobs(query).await?),
        false => None,
    };
    let dead = params.state == State::Discarded.as_str();
    let (heading, section) =
        if dead { ("Dead letters", Section::DeadLetters) } else { ("Jobs", Section::Jobs) };
    let cursor = found.as_ref().map_or(stats.cursor, |page| page.cursor);
    let shell = Shell::live(heading, section, cursor);
    let jobs = found.as_ref().map_or(&[][..], |page| &page.jobs);
    let next = found.as_ref().and_then(|page| page.next);
    let status =
        if problems.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let list = Jobs {
        heading,
        tabs: params.tabs(&stats),
        queues: stats.queues.keys().map(ToString::to_string).collect(),
        kinds: kinds(&engine, &stats),
        rows: jobs.iter().map(|job| Row::of(job, shell.now)).collect(),
        problems,
        next: next.map(|next| Params { after: next.to_string(), ..params.clone() }.link()),
        newest: Params { after: String::new(), ..params.clone() }.link(),
        shell,
        params,
    };
    Ok(page(status, &list))
}

/// Kinds to choose from: those that can run here and those that jobs have.
fn kinds(engine: &Engine, stats: &Stats) -> Vec<String> {
    let known = engine.kinds().into_iter().map(|info| &info.kind);
    let mut kinds: Vec<String> = known.chain(stats.kinds.keys()).map(Kind::to_string).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

impl Params {
    /// The query, and what could not be understood of it.
    fn query(&self) -> (JobQuery, Vec<String>) {
        let mut problems = Vec::new();
        let query = JobQuery {
            states: read::<State>(&self.state, &mut problems).into_iter().collect(),
            queue: read(&self.queue, &mut problems),
            kind: read(&self.kind, &mut problems),
            tag: read(&self.tag, &mut problems),
            after: read(&self.after, &mut problems),
            limit: LIMIT,
        };
        (query, problems)
    }

    /// The address of this list.
    fn link(&self) -> String {
        let fields = [
            ("state", &self.state),
            ("queue", &self.queue),
            ("kind", &self.kind),
            ("tag", &self.tag),
            ("after", &self.after),
        ];
        let mut query = Serializer::new(String::new());
        query.extend_pairs(fields.into_iter().filter(|(_, value)| !value.is_empty()));
        match query.finish() {
            query if query.is_empty() => "jobs".into(),
            query => format!("jobs?{query}"),
        }
    }

    /// Whether anything but the state narrows the list.
    fn filtered(&self) -> bool {
        !(self.queue.is_empty() && self.kind.is_empty() && self.tag.is_empty())
    }

    /// Which counters the tabs show, as the script names them; empty when none apply.
    fn scope(&self) -> String {
        match (self.queue.as_str(), self.kind.as_str(), self.tag.as_str()) {
            ("", "", "") => "all".into(),
            (queue, "", "") => format!("queue:{queue}"),
            ("", kind, "") => format!("kind:{kind}"),
            (_, _, _) => String::new(),
        }
    }

    fn tabs(&self, stats: &Stats) -> Vec<Tab> {
        let states = State::ALL.map(|state| (state.as_str(), label(state), Some(state)));
        let all = [("", "All", None)];
        all.into_iter()
            .chain(states)
            .map(|(name, label, state)| self.tab(name, label, state, stats))
            .collect()
    }

    fn tab(
        &self,
        name: &'static str,
        label: &'static str,
        state: Option<State>,
        stats: &Stats,
    ) -> Tab {
        let link = Params { state: name.into(), after: String::new(), ..self.clone() }.link();
        Tab { name, label, link, count: self.count(state, stats), current: self.state == name }
    }

    /// A state's count under the filter, as far as counters reach: no scan is worth a number on a tab.
    fn count(&self, state: Option<State>, stats: &Stats) -> Option<u64> {
        let nothing = Default::default();
        let states = match (self.queue.as_str(), self.kind.as_str(), self.tag.as_str()) {
            ("", "", "") => &stats.states,
            (queue, "", "") => stats.queues.get(queue).map_or(&nothing, |queue| &queue.states),
            ("", kind, "") => stats.kinds.get(kind).unwrap_or(&nothing),
            (_, _, _) => return None,
        };
        Some(match state {
            Some(state) => states.get(&state).copied().unwrap_or(0),
            None => states.values().sum(),
        })
    }
}

fn label(state: State) -> &'static str {
    match state {
        State::Scheduled => "Scheduled",
        State::Available => "Available",
        State::Running => "Running",
        State::Retryable => "Retryable",
        State::Completed => "Completed",
        State::Discarded => "Dead letters",
        State::Cancelled => "Cancelled",
    }
}

/// Reads a field when it is filled in; notes what is wrong with it.
fn read<T: FromStr<Err: ToString>>(text: &str, problems: &mut Vec<String>) -> Option<T> {
    if text.is_empty() {
        return None;
    }
    text.parse().map_err(|error: T::Err| problems.push(sentence(&error.to_string()))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_its_address() {
        let params = Params { queue: "mail".into(), tag: "a&b c".into(), ..Params::default() };
        assert_eq!(params.link(), "jobs?queue=mail&tag=a%26b+c");
        assert_eq!(Params::default().link(), "jobs");
    }

    #[test]
    fn every_field_that_cannot_be_read_is_named() {
        let params = Params { state: "done".into(), after: "x".into(), ..Params::default() };
        let (query, problems) = params.query();
        assert_eq!((query.states.len(), problems.len()), (0, 2));
        assert!(problems[0].contains("completed"), "{problems:?}");
    }
}
