//! `GET /api/v1/events`: a plain read of the event log, for clients that poll.
//! The same cursor resumes here and on the WebSocket.

use axum::extract::{RawQuery, State};
use axum::response::Response;
use serde::Serialize;

use super::view::{EventView, Shown};
use super::{Api, Problem, json, query};
use crate::engine::Events;
use crate::job::Cursor;

#[derive(Serialize)]
struct EventsView<'a> {
    events: Vec<EventView<'a>>,
    /// The `after` of the next read.
    cursor: Shown<Cursor>,
    /// There when the log does not reach back to `after`: events in between cannot be read any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    gap: Option<GapView>,
}

#[derive(Serialize)]
struct GapView {
    from: Shown<Cursor>,
    to: Shown<Cursor>,
}

/// `{"events", "cursor", "gap"?}`: what follows `after` and passes the filter, oldest first.
/// Without `after` it answers where the log ends, to begin from.
pub async fn read(State(api): State<Api>, RawQuery(text): RawQuery) -> Result<Response, Problem> {
    let wanted = query::stream_query(text.as_deref())?;
    let Some(after) = wanted.after else {
        let cursor = Shown(api.engine.head());
        return Ok(json(&EventsView { events: Vec::new(), cursor, gap: None }));
    };
    match api.engine.events(after, wanted.limit.unwrap_or(100)).await? {
        Events::Some(events) => {
            let cursor = events.last().map_or(after, |last| last.cursor(after));
            let passing = events.iter().filter(|event| wanted.filter.matches(event));
            let events = passing.map(EventView::of).collect();
            Ok(json(&EventsView { events, cursor: Shown(cursor), gap: None }))
        }
        Events::Gap { oldest, .. } => {
            let gap = GapView { from: Shown(after), to: Shown(oldest) };
            Ok(json(&EventsView { events: Vec::new(), cursor: Shown(oldest), gap: Some(gap) }))
        }
    }
}
