//! The job list, newest first, filtered by state, queue, kind, tag, time and content.

pub mod bulk;
pub mod column;
pub mod job_filter;
pub mod list_row;
pub mod row_order;

use askama::Template;
use axum::extract::State as Has;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::engine::{Engine, Stats};
use crate::job::{JobId, JobQuery, Kind, State};

use super::layout::error::UiError;
use super::layout::page::{Layout, Section, page, see_other};
use super::layout::visit::Visit;
use super::parts::filters;
use super::parts::load::is_busy;
use super::parts::unknown_parameters::ignored;
use super::rewind::asked::{AskedMoment, PastView};
use column::Column;
use job_filter::{ListFilter, ago};
use list_row::ListRow;
use row_order::RowOrder;

/// The rows of a page: few enough to render and scan quickly.
pub const LIMIT: usize = 50;
/// The most names suggested for one field.
const MAX_OFFERED: usize = 100;

#[derive(Template)]
#[template(path = "jobs.html")]
struct Jobs {
    layout: Layout,
    filter: ListFilter,
    heading: &'static str,
    tabs: Vec<Tab>,
    suggestions: Suggestions,
    columns: Vec<Heading>,
    rows: Vec<ListRow>,
    /// The number of jobs that match the filter, when the counters can tell it.
    matching: Option<u64>,
    search: Option<SearchProgress>,
    next: Option<String>,
    /// Whether the server is too busy for the page to follow every event.
    busy: bool,
    /// The number of bulk runs in progress.
    runs: usize,
    /// What an earlier moment adds; `None` on the page as it is now.
    then: Option<ThenNotes>,
}

/// What the list of an earlier moment says about itself.
struct ThenNotes {
    /// Terms that were ignored, because contents are searched on the present only.
    ignored_terms: String,
    /// Below this id, jobs that have been removed since are missing.
    incomplete_below: Option<JobId>,
}

/// A tab for one state or for all states, with its count when the counters can tell it.
struct Tab {
    name: &'static str,
    label: &'static str,
    link: String,
    count: Option<u64>,
    current: bool,
}

/// The heading of a column, which orders the rows of the page.
struct Heading {
    column: Column,
    /// The URL of the page in the order of this column, if it can order rows.
    link: Option<String>,
    /// The value of `aria-sort` if the rows are in the order of this column.
    sorted: Option<&'static str>,
}

/// The names that the fields suggest while somebody types.
struct Suggestions {
    queues: Vec<String>,
    kinds: Vec<String>,
    tags: Vec<String>,
}

/// The progress of a search that takes several requests.
struct SearchProgress {
    through: u64,
    of: u64,
    /// The URL at which the search continues, if it has not ended.
    next: Option<String>,
}

/// `GET /jobs`
pub async fn show(
    Has(engine): Has<Engine>,
    visit: Visit,
    asked: AskedMoment,
) -> Result<Response, UiError> {
    let now = asked.past.as_ref().map_or_else(|| engine.now(), PastView::now);
    let mut filter = ListFilter::read(&asked.query, now);
    filter.query.limit = LIMIT;
    if let Some(past) = asked.past {
        return show_past(&engine, &visit, filter, past).await;
    }
    if let Some(id) = pasted_id(&filter)
        && engine.job(id).await?.0.is_some()
    {
        return Ok(see_other(&format!("jobs/{id}")).into_response());
    }
    let stats = engine.stats().await?;
    let found = if filter.problems.is_empty() {
        Some(engine.jobs(filter.query.clone()).await?)
    } else {
        None
    };
    let (heading, section) = heading_of(&filter);
    let cursor = found.as_ref().map_or(stats.cursor, |page| page.cursor);
    let now = engine.now();
    let layout = Layout::live(&visit, heading, section, cursor, now);
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
    let mut rows: Vec<ListRow> = jobs.iter().map(|job| ListRow::of(job, now)).collect();
    if let Some(order) = filter.order {
        order.apply(&mut rows);
    }
    let status = if filter.problems.is_empty() { StatusCode::OK } else { StatusCode::BAD_REQUEST };
    let runs = engine.known_bulk_reports();
    let list = Jobs {
        heading,
        columns: headings(&filter),
        tabs: tabs(&filter, &stats),
        suggestions: Suggestions::new(&engine, &stats, &rows),
        matching: stats.count(&filter.query),
        rows,
        search,
        next,
        busy: is_busy(&engine),
        runs: runs.iter().filter(|run| run.progress.ended.is_none()).count(),
        then: None,
        layout,
        filter,
    };
    Ok(page(status, &list))
}

async fn show_past(
    engine: &Engine,
    visit: &Visit,
    mut filter: ListFilter,
    view: PastView,
) -> Result<Response, UiError> {
    if let Some(id) = pasted_id(&filter)
        && engine.job_at(&view.past, id).await?.is_some()
    {
        return Ok(view.see_other(&format!("jobs/{id}")));
    }
    let terms: Vec<String> = filter.query.terms.drain(..).map(|term| term.to_string()).collect();
    let (now, stats) = (view.now(), engine.stats_at(&view.past).await?);
    let found = if filter.problems.is_empty() {
        Some(engine.jobs_at(&view.past, filter.query.clone()).await?)
    } else {
        None
    };
    let jobs = found.as_ref().map_or(&[][..], |page| &page.jobs);
    let mut rows: Vec<ListRow> = jobs.iter().map(|job| ListRow::of_past(job, now)).collect();
    if let Some(order) = filter.order {
        order.apply(&mut rows);
    }
    let (heading, section) = heading_of(&filter);
    let status = if filter.problems.is_empty() { StatusCode::OK } else { StatusCode::BAD_REQUEST };
    let next = found.as_ref().and_then(|page| page.next);
    let incomplete_below = found.as_ref().and_then(|page| page.incomplete_below);
    Ok(view.page(status, visit, heading, section, |layout| Jobs {
        heading,
        columns: headings(&filter),
        tabs: tabs(&filter, &stats),
        suggestions: Suggestions::new(engine, &stats, &rows),
        matching: None,
        rows,
        search: None,
        next: next.map(|next| filter.further(next, None)),
        busy: false,
        runs: 0,
        then: Some(ThenNotes { ignored_terms: terms.join(" "), incomplete_below }),
        layout,
        filter,
    }))
}

/// The heading of a list, and the part of the navigation that it belongs to.
fn heading_of(filter: &ListFilter) -> (&'static str, Section) {
    if filter.state() == Some(State::Discarded) {
        ("Discarded jobs", Section::Discarded)
    } else {
        ("Jobs", Section::Jobs)
    }
}

impl Jobs {
    /// The sentence about parameters that were ignored.
    fn ignored(&self) -> Option<String> {
        ignored(&self.filter.unknown)
    }

    /// Whether the search continues before the page is full.
    fn goes_on(&self) -> bool {
        self.search.as_ref().is_some_and(|search| search.next.is_some())
    }

    /// Whether this is the first page of all jobs, to which the script adds new ones.
    fn is_newest(&self) -> bool {
        let ListFilter { query, problems, order, .. } = &self.filter;
        !self.layout.is_past()
            && query.is_everything()
            && query.after.is_none()
            && problems.is_empty()
            && order.is_none()
    }

    /// The options of the field for the time of submission, including the active value.
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
            let is_valid = self.filter.problems.is_empty();
            let label = if is_valid { ago(&since) } else { since.clone() };
            spans.push((since, format!("since {label}")));
        }
        spans
    }
}

/// The job id that is the only content of the search field. The page redirects to that job.
fn pasted_id(filter: &ListFilter) -> Option<JobId> {
    match filter.query.terms.as_slice() {
        [term] => term.to_string().parse().ok(),
        [] | [_, _, ..] => None,
    }
}

impl Suggestions {
    /// Collects the queues, the kinds and the tags of the rows shown.
    fn new(engine: &Engine, stats: &Stats, rows: &[ListRow]) -> Self {
        let known = engine.kinds().names();
        let kinds = known.iter().chain(stats.kinds.keys()).map(Kind::to_string);
        Suggestions {
            queues: few(stats.queues.keys().map(ToString::to_string)),
            kinds: few(kinds),
            tags: few(rows.iter().flat_map(|row| row.cells.tags.iter().cloned())),
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

/// The headings of the columns.
fn headings(filter: &ListFilter) -> Vec<Heading> {
    let current = filter.order;
    let heading = |column| Heading {
        column,
        link: RowOrder::after_click(column, current).map(|order| filter.in_order(Some(order))),
        sorted: current.filter(|order| order.column == column).map(|one| one.direction.aria()),
    };
    Column::ALL.into_iter().map(heading).collect()
}

fn tabs(filter: &ListFilter, stats: &Stats) -> Vec<Tab> {
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
        State::Discarded => "Discarded",
        State::Cancelled => "Cancelled",
    }
}
