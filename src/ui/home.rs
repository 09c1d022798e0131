//! Home: how many jobs are in each state, the queues, and what came in last.

use askama::Template;
use axum::extract::State as Has;
use axum::http::StatusCode;
use axum::response::Response;

use crate::engine::{Engine, QueueStats, Stats};
use crate::job::{JobQuery, QueueName, State};

use super::error::UiError;
use super::filters;
use super::row::Row;
use super::shell::{Section, Shell, page};

/// Rows of recent activity: what fits on a screen below the queues.
const RECENT: usize = 12;

#[derive(Template)]
#[template(path = "home.html")]
struct Home {
    shell: Shell,
    counts: Vec<Count>,
    queues: Vec<QueueRow>,
    recent: Vec<Row>,
    recent_max: usize,
}

/// A card: a state, how many, and what the state means.
struct Count {
    state: State,
    count: u64,
    meaning: &'static str,
}

struct QueueRow {
    name: String,
    available: u64,
    later: u64,
    running: u64,
    discarded: u64,
    concurrency: usize,
    paused: bool,
}

/// `GET /`
pub async fn show(Has(engine): Has<Engine>) -> Result<Response, UiError> {
    // The list is read first: counts that are newer than rows mend themselves, the other way round not.
    let query = JobQuery { limit: RECENT, ..JobQuery::default() };
    let recent = engine.jobs(query).await?;
    let stats = engine.stats().await?;
    let shell = Shell::live("Home", Section::Home, recent.cursor);
    let rows = recent.jobs.iter().map(|job| Row::of(job, shell.now)).collect();
    let counts = State::ALL.map(|state| Count::of(state, &stats)).into();
    let queues =
        stats.queues.iter().map(|(name, queue)| QueueRow::of(name, queue, &engine)).collect();
    let home = Home { shell, counts, queues, recent: rows, recent_max: RECENT };
    Ok(page(StatusCode::OK, &home))
}

impl Count {
    fn of(state: State, stats: &Stats) -> Self {
        let meaning = match state {
            State::Scheduled => "wait for their time",
            State::Available => "ready to run",
            State::Running => "at work now",
            State::Retryable => "to be tried again",
            State::Completed => "done",
            State::Discarded => "dead letters",
            State::Cancelled => "stopped on request",
        };
        Count { state, count: stats.states.get(&state).copied().unwrap_or(0), meaning }
    }
}

impl QueueRow {
    fn of(name: &QueueName, queue: &QueueStats, engine: &Engine) -> Self {
        let count = |state| queue.states.get(&state).copied().unwrap_or(0);
        let config = engine.config();
        let own = config.queues.iter().find(|(queue, _)| queue == name).map(|(_, own)| own);
        QueueRow {
            name: name.to_string(),
            available: count(State::Available),
            later: count(State::Scheduled) + count(State::Retryable),
            running: count(State::Running),
            discarded: count(State::Discarded),
            concurrency: own.unwrap_or(&config.default_queue).concurrency,
            paused: queue.paused,
        }
    }
}
