//! Lists of jobs, newest first: by state, queue, kind, tag, time and what stands in them.

pub mod bulk;
pub mod job_filter;

use askama::Template;
use axum::extract::{RawQuery, State as Has};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::engine::{Engine, Stats};
use crate::http::layers::base_path::Address;
use crate::job::{JobId, JobQuery, Kind, State};

use super::layout::error::UiError;
use super::layout::page::{Layout, Section, page, see_other};
use super::parts::filters;
use super::parts::job_row::JobRow;
use super::parts::load::is_busy;
use job_filter::JobFilter;

/// Rows on a page: a few screens, quick to read and to render.
pub const LIMIT: usize = 50;
/// Names offered for one field; a browser's list with more is no help.
const MAX_OFFERED: usize = 100;

#[derive(Template)]
#[template(path = "jobs.html")]
struct Jobs {
    layout: Layout,
    filter: JobFilter,
    heading: &'static str,
    tabs: Vec<Tab>,
    suggestions: Suggestions,
    rows: Vec<JobRow>,
    /// What the counters say that the filter lets through, if they reach.
    matching: Option<u64>,
    search: Option<SearchProgress>,
    next: Option<String>,
    /// Whether too much happens to follow all of it.
    busy: bool,
    /// Bulk runs under way.
    runs: usize,
}

/// One state, or all of them, with its count when that is known without a scan.
struct Tab {
    name: &'static str,
    label: &'static str,
    link: String,
    count: Option<u64>,
    current: bool,
}

/// What fields suggest while somebody types.
struct Suggestions {
    queues: Vec<String>,
    kinds: Vec<String>,
    tags: Vec<String>,
}

/// How far a search has come that takes more than one page.
struct SearchProgress {
    through: u64,
    of: u64,
    /// Where it goes on by itself.
    next: Option<String>,
}

/// `GET /jobs`
pub async fn show(
    Has(engine): Has<Engine>,
    address: Address,
    RawQuery(text): RawQuery,
) -> Result<Response, UiError> {
    let mut filter = JobFilter::read(text.as_deref().unwrap_or_default(), engine.now());
    filter.query.limit = LIMIT;
    if let Some(id) = pasted_id(&filter)
        && engine.job(id).await?.0.is_some()
    {
        return Ok(see_other(&format!("jobs/{id}")).into_response());
    }
    let stats = engine.stats().await?;
    let found = match filter.problems.is_empty() {
        true => Some(engine.jobs(filter.query.clone()).await?),
        false => None,
    };
    let dead = filter.state() == Some(State::Discarded);
    let (heading, section) =
        if dead { ("Dead letters", Section::DeadLetters) } else { ("Jobs", Section::Jobs) };
    let cursor = found.as_ref().map_or(stats.cursor, |page| page.cursor);
    let now = engine.now();
    let layout = Layout::live(&address, heading, section, cursor, now);
    let jobs = found.as_ref().map_or(&[][..], |page| &page.jobs);
    let next = found.as_ref().and_then(|page| page.next);
    let through = filter.seen + found.as_ref().map_or(0, |page| page.examined);
    let goes_on = next.filter(|_| jobs.len() < LIMIT);
    let next = next.map(|next| filter.further(next, goes_on.map(|_| through)));
    let search = (goes_on.is_some() || filter.seen > 0).then(|| {
        let of = stats.states.values().sum();
        let through = if next.is_some() { through.min(of) } else { of };
        SearchProgress { through, of, next: next.clone().filter(|_| goes_on.is_some()) }
    });
    let rows: Vec<JobRow> = jobs.iter().map(|job| JobRow::of(job, now)).collect();
    let status = match filter.problems.is_empty() {
        true => StatusCode::OK,
        false => StatusCode::UNPROCESSABLE_ENTITY,
    };
    let runs = engine.bulk_reports();
    let list = Jobs {
        heading,
        tabs: tabs(&filter, &stats),
        suggestions: Suggestions::new(&engine, &stats, &rows),
        matching: stats.count(&filter.query),
        rows,
        search,
        next,
        busy: is_busy(&engine),
        runs: runs.iter().filter(|run| run.progress.ended.is_none()).count(),
        layout,
        filter,
    };
    Ok(page(status, &list))
}

impl Jobs {
    /// Whether the search has more to look through before the page is full.
    fn goes_on(&self) -> bool {
        self.search.as_ref().is_some_and(|search| search.next.is_some())
    }

    fn dead(&self) -> bool {
        self.filter.state() == Some(State::Discarded)
    }

    /// What the field for the time of submission suggestions; what is in force stands there too.
    fn spans(&self) -> Vec<(String, String)> {
        let known = [
            ("", "any time"),
            ("15m", "last 15 min"),
            ("1h", "last hour"),
            ("1d", "last day"),
            ("7d", "last 7 days"),
        ];
        let mut spans: Vec<(String, String)> =
            known.map(|(value, label)| (value.into(), label.into())).into();
        let since = self.filter.field("since");
        if spans.iter().all(|(value, _)| *value != since) {
            spans.push((since.clone(), format!("since {since}")));
        }
        spans
    }
}

/// The id that was put into the search field and nothing else: it leads to its job.
fn pasted_id(filter: &JobFilter) -> Option<JobId> {
    match filter.query.terms.as_slice() {
        [term] => term.to_string().parse().ok(),
        [] | [_, _, ..] => None,
    }
}

impl Suggestions {
    /// Queues and kinds that jobs have or can have, and the tags in sight.
    fn new(engine: &Engine, stats: &Stats, rows: &[JobRow]) -> Self {
        let known = engine.kinds().into_iter().map(|info| &info.kind);
        let kinds = known.chain(stats.kinds.keys()).map(Kind::to_string);
        Suggestions {
            queues: few(stats.queues.keys().map(ToString::to_string)),
            kinds: few(kinds),
            tags: few(rows.iter().flat_map(|row| row.tags.iter().cloned())),
        }
    }
}

fn few(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut names: Vec<String> = names.collect();
    names.sort_unstable();
    names.dedup();
    names.truncate(MAX_OFFERED);
    names
}

fn tabs(filter: &JobFilter, stats: &Stats) -> Vec<Tab> {
    let states = State::ALL.map(|state| (state.as_str(), label(state), Some(state)));
    let all = [("", "All", None)];
    let tab = |(name, label, state): (&'static str, &'static str, Option<State>)| Tab {
        name,
        label,
        link: filter.in_state(state),
        count: stats
            .count(&JobQuery { states: state.into_iter().collect(), ..filter.query.clone() }),
        current: filter.state() == state && filter.query.states.len() < 2,
    };
    all.into_iter().chain(states).map(tab).collect()
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
