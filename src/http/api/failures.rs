//! `GET /api/v1/failures`: failed jobs, grouped by kind and error.
//! The groups are kept in memory, so no read examines jobs.

use axum::extract::{RawQuery, State};
use axum::response::Response;
use serde::Serialize;

use super::query::limit_query;
use crate::engine::FailureGroup;
use crate::http::view::Displayed;
use crate::http::{Api, Problem, json};
use crate::job::{Cursor, JobId, Time};

/// The most groups in one answer.
pub const MAX_GROUPS: usize = 500;
/// The most groups if the request does not say.
pub const USUAL_GROUPS: usize = 50;

#[derive(Serialize)]
struct FailuresView {
    groups: Vec<FailureGroupView>,
    total: usize,
    counting: bool,
    beyond: u64,
    cursor: Displayed<Cursor>,
}

#[derive(Serialize)]
struct FailureGroupView {
    id: String,
    kind: String,
    class: &'static str,
    pattern: String,
    message: String,
    example: JobId,
    dead: u64,
    retrying: u64,
    first_at: Displayed<Time>,
    last_at: Displayed<Time>,
    minutes: Vec<u32>,
    hours: Vec<u32>,
}

/// Lists the groups of discarded and retrying jobs, the one with the latest failure first: `{"groups", "total",
/// "counting", "beyond", "cursor"}`. A group is `{"id", "kind", "class", "pattern", "message", "example", "dead",
/// "retrying", "first_at", "last_at", "minutes", "hours"}`; `minutes` and `hours` are the numbers of failed attempts in
/// each, the current one last. `counting` is true while jobs that failed before the start of the server are still being
/// counted.
pub async fn list(State(api): State<Api>, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let limit = limit_query(query.as_deref(), USUAL_GROUPS, MAX_GROUPS)?;
    let cursor = Displayed(api.engine.head());
    let list = api.engine.failures(limit);
    let groups = list.groups.into_iter().map(FailureGroupView::of).collect();
    let (total, counting, beyond) = (list.total, list.counting, list.beyond);
    Ok(json(&FailuresView { groups, total, counting, beyond, cursor }))
}

impl FailureGroupView {
    fn of(group: FailureGroup) -> Self {
        let FailureGroup { id, kind, class, pattern, message, example, .. } = group;
        FailureGroupView {
            id,
            kind: kind.to_string(),
            class: class.as_str(),
            pattern,
            message,
            example,
            dead: group.dead,
            retrying: group.retrying,
            first_at: Displayed(group.first_at),
            last_at: Displayed(group.last_at),
            minutes: group.minutes,
            hours: group.hours,
        }
    }
}
