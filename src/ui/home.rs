//! The home page: the number of jobs in each state, throughput and latency, queues, recent failures and the
//! newest jobs.

use askama::Template;
use axum::extract::{Query, State as Has};
use axum::http::StatusCode;
use axum::response::Response;

use crate::engine::{Engine, Stats};
use crate::job::{JobQuery, Kind, State, Time};

use super::failures::{GroupRow, failing_now};
use super::layout::error::UiError;
use super::layout::page::{Layout, Section, page};
use super::layout::visit::Visit;
use super::parts::chart::WIDTH;
use super::parts::chart_section::{ChartParams, ChartSection};
use super::parts::filters;
use super::parts::job_row::JobCells;
use super::parts::load::is_busy;
use super::parts::node_row::this_process;
use super::parts::queue_rank::{shown_queues, shown_queues_then};
use super::parts::queue_row::QueueRow;
use super::parts::time_format::TimeText;
use super::parts::value_scale::HEIGHT;
use super::rewind::asked::{AskedMoment, PastView};

/// The rows of recent activity, as many as fit on a screen below the queues.
const RECENT: usize = 12;
/// How many seconds old the jobs are that a busy server shows. Newer ones change so fast that the counters would contradict them.
const SAMPLE_AGE_S: i64 = 2;
/// The most queues shown, so that failures and recent jobs are not far below; the list of queues has all of them.
const QUEUES: usize = 10;
/// The most failure groups shown.
const FAILING: usize = 5;

#[derive(Template)]
#[template(path = "home.html")]
struct Home {
    layout: Layout,
    counts: Vec<StateCard>,
    /// The charts; `None` on the page of an earlier moment.
    charts: Option<ChartSection>,
    queues: Vec<QueueRow>,
    queues_total: usize,
    queues_max: usize,
    busy: bool,
    sampled_at: TimeText,
    sample_age: i64,
    failing: Vec<GroupRow>,
    counting: bool,
    /// What the process is called that still counts.
    process: &'static str,
    recent: Vec<JobCells>,
    recent_max: usize,
    width: f64,
    height: f64,
}

/// A card with a state, its number of jobs and its meaning.
pub struct StateCard {
    /// The state.
    pub state: State,
    /// The number of jobs in it.
    pub count: u64,
    /// What the state means.
    pub meaning: &'static str,
}

/// `GET /`; `?range=6h` draws the charts of the last hours, `?scale=log` on a logarithmic scale, and `?at=` shows an
/// earlier moment.
pub async fn show(
    Has(engine): Has<Engine>,
    visit: Visit,
    Query(params): Query<ChartParams>,
    asked: AskedMoment,
) -> Result<Response, UiError> {
    if let Some(past) = asked.past {
        return show_past(&engine, &visit, past).await;
    }
    // The list is read before the counters. Newer counters are corrected by the events that follow; newer
    // rows would not be.
    let busy = is_busy(&engine);
    let until = busy.then(|| Time::from_millis(engine.now().millis() - SAMPLE_AGE_S * 1_000));
    let query = JobQuery { limit: RECENT, until, ..JobQuery::default() };
    let recent = engine.jobs(query).await?;
    let stats = engine.stats().await?;
    let now = engine.now();
    let layout = Layout::live(&visit, "Home", Section::Home, recent.cursor, now);
    let rows = recent.jobs.iter().map(|job| JobCells::of(job, now)).collect();
    let charts = ChartSection::of(&engine, None, params.options()?, "./").await?;
    let (failing, counting) = failing_now(&engine, FAILING, now);
    let queues = shown_queues(&stats, &engine, now, QUEUES);
    let home = Home {
        counts: State::ALL.map(|state| StateCard::of(state, &stats)).into(),
        charts: Some(charts),
        queues,
        queues_total: stats.queues.len(),
        queues_max: QUEUES,
        busy,
        sampled_at: TimeText::new(now, now),
        sample_age: SAMPLE_AGE_S,
        failing,
        counting,
        process: this_process(&engine),
        recent: rows,
        recent_max: RECENT,
        width: WIDTH,
        height: HEIGHT,
        layout,
    };
    Ok(page(StatusCode::OK, &home))
}

async fn show_past(engine: &Engine, visit: &Visit, view: PastView) -> Result<Response, UiError> {
    let now = view.now();
    let query = JobQuery { limit: RECENT, ..JobQuery::default() };
    let recent = engine.jobs_at(&view.past, query).await?;
    let stats = engine.stats_at(&view.past).await?;
    Ok(view.page(StatusCode::OK, visit, "Home", Section::Home, |layout| Home {
        counts: State::ALL.map(|state| StateCard::of(state, &stats)).into(),
        charts: None,
        queues: shown_queues_then(&stats, engine, now, QUEUES),
        queues_total: stats.queues.len(),
        queues_max: QUEUES,
        busy: false,
        sampled_at: TimeText::new(now, now),
        sample_age: SAMPLE_AGE_S,
        failing: Vec::new(),
        counting: false,
        process: this_process(engine),
        recent: recent.jobs.iter().map(|job| JobCells::of_past(job, now)).collect(),
        recent_max: RECENT,
        width: WIDTH,
        height: HEIGHT,
        layout,
    }))
}

impl StateCard {
    /// The card of a state.
    pub fn of(state: State, stats: &Stats) -> Self {
        Self::with_count(state, stats.states.get(&state).copied())
    }

    /// The cards of the jobs of a kind.
    pub fn all_of_kind(kind: &Kind, stats: &Stats) -> Vec<Self> {
        let states = stats.kinds.get(kind);
        let count = |state| states.and_then(|states| states.get(&state)).copied();
        State::ALL.into_iter().map(|state| Self::with_count(state, count(state))).collect()
    }

    fn with_count(state: State, count: Option<u64>) -> Self {
        let meaning = match state {
            State::Scheduled => "due later",
            State::Available => "ready to run",
            State::Running => "in progress",
            State::Retryable => "waiting for a retry",
            State::Completed => "succeeded",
            State::Discarded => "failed permanently",
            State::Cancelled => "stopped on request",
        };
        StateCard { state, count: count.unwrap_or(0), meaning }
    }
}
