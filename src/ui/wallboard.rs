//! The page for a screen that everybody in a room can see: large counters, the charts, the queues that need attention and
//! what is failing, without anything to press.

use askama::Template;
use axum::extract::{Query, State as Has};
use axum::http::StatusCode;
use axum::response::Response;

use crate::engine::Engine;
use crate::job::State;

use super::failures::{GroupRow, failing_now};
use super::home::StateCard;
use super::layout::error::UiError;
use super::layout::page::{Layout, Section, page};
use super::layout::visit::Visit;
use super::parts::chart::WIDTH;
use super::parts::chart_section::{ChartParams, ChartSection};
use super::parts::filters;
use super::parts::queue_rank::shown_queues;
use super::parts::queue_row::QueueRow;
use super::parts::value_scale::HEIGHT;

/// The most queues and failure groups, so that everything fits on a screen.
const ROWS: usize = 6;

#[derive(Template)]
#[template(path = "wallboard.html")]
struct Wallboard {
    layout: Layout,
    counts: Vec<StateCard>,
    charts: ChartSection,
    queues: Vec<QueueRow>,
    queues_total: usize,
    failing: Vec<GroupRow>,
    width: f64,
    height: f64,
}

/// `GET /wallboard`; `?range=` and `?scale=` choose what the charts show, as on the home page.
pub async fn show(
    Has(engine): Has<Engine>,
    visit: Visit,
    Query(params): Query<ChartParams>,
) -> Result<Response, UiError> {
    let stats = engine.stats().await?;
    let now = engine.now();
    let charts = ChartSection::of(&engine, None, params.options()?, "wallboard").await?;
    let (failing, _) = failing_now(&engine, ROWS, now);
    let queues = shown_queues(&stats, &engine, now, ROWS);
    let view = Wallboard {
        layout: Layout::live(&visit, "Wallboard", Section::Wallboard, stats.cursor, now),
        counts: State::ALL.map(|state| StateCard::of(state, &stats)).into(),
        charts,
        queues,
        queues_total: stats.queues.len(),
        failing,
        width: WIDTH,
        height: HEIGHT,
    };
    Ok(page(StatusCode::OK, &view))
}
