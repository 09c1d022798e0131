//! What a share link shows: the page of one job or of one queue, read-only and without a way to other pages.

use askama::Template;
use axum::extract::{Path, Query, State as Has};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::SharedView;
use crate::engine::Engine;
use crate::http::access::Caller;
use crate::http::access::access_watch::no_such_link;
use crate::job::{JobQuery, LinkSubject, QueueName, State};
use crate::ui::job::{self, ShownAs};
use crate::ui::layout::error::UiError;
use crate::ui::layout::page::{Layout, Section, page};
use crate::ui::layout::visit::Visit;
use crate::ui::parts::filters;
use crate::ui::parts::job_row::JobCells;
use crate::ui::parts::visible_text::Escapes;

/// The number of a queue's newest jobs that a link shows.
const NEWEST: usize = 20;

/// The queue of a link: how many jobs it has in each state, and the ids, kinds and states of the newest ones.
#[derive(Template)]
#[template(path = "shared_queue.html")]
struct SharedQueuePage {
    layout: Layout,
    link: SharedView,
    queue: String,
    is_paused: bool,
    counts: Vec<(State, u64)>,
    newest: Vec<JobCells>,
}

/// The query of the URL.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct SharedQuery {
    /// Shows texts with their escapes as the job has them.
    raw: String,
}

/// `GET /shared/{link}`
pub async fn show(
    Has(engine): Has<Engine>,
    visit: Visit,
    Caller(caller): Caller,
    Path(text): Path<String>,
    Query(query): Query<SharedQuery>,
    headers: HeaderMap,
) -> Result<Response, Response> {
    let link = caller.as_ref().and_then(|caller| caller.link());
    let link = link.ok_or_else(|| no_such_link().into_response())?;
    let shared = SharedView::of(link, &text, engine.now());
    match &link.subject {
        LinkSubject::Job(id) => {
            let escapes = if query.raw.is_empty() { Escapes::Decoded } else { Escapes::Raw };
            let shown =
                ShownAs { notice: None, escapes, status: StatusCode::OK, shared: Some(shared) };
            let page = job::render(&engine, &visit, *id, shown, &headers).await;
            page.map_err(|error| match error.status {
                // The job was deleted, so that the link opens nothing.
                StatusCode::NOT_FOUND => no_such_link().into_response(),
                _ => error.into_response(),
            })
        }
        LinkSubject::Queue(queue) => {
            let page = show_queue(&engine, &visit, queue, shared).await;
            page.map_err(IntoResponse::into_response)
        }
    }
}

async fn show_queue(
    engine: &Engine,
    visit: &Visit,
    name: &QueueName,
    link: SharedView,
) -> Result<Response, UiError> {
    let query = JobQuery { queues: vec![name.clone()], limit: NEWEST, ..JobQuery::default() };
    let jobs = engine.jobs(query).await?;
    let stats = engine.stats().await?;
    let now = engine.now();
    // A queue without jobs may be unknown for a while.
    let counters = stats.queues.get(name).cloned().unwrap_or_default();
    let count = |state: State| counters.states.get(&state).copied().unwrap_or(0);
    let title = format!("Queue {name}");
    let view = SharedQueuePage {
        layout: Layout::shared(visit, title, Section::SharedQueue, jobs.cursor, now),
        link,
        queue: name.to_string(),
        is_paused: counters.settings.paused,
        counts: State::ALL.into_iter().map(|state| (state, count(state))).collect(),
        newest: jobs.jobs.iter().map(|job| JobCells::of(job, now)).collect(),
    };
    Ok(page(StatusCode::OK, &view))
}
