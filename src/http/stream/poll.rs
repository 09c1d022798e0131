//! `GET /api/v1/events`: the event log over plain HTTP. A client that accepts server-sent events gets a
//! stream; any other polls, and may wait. The same cursor resumes here and on the WebSocket.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, RawQuery, State};
use axum::http::{HeaderMap, header};
use axum::response::Response;
use serde::Serialize;
use tokio::time::{Instant, sleep_until};

use super::feed::{Delivery, Feed};
use super::sse;
use crate::engine::{Batch, Transport};
use crate::http::api::query;
use crate::http::api::query::StreamQuery;
use crate::http::layers::header_list::elements;
use crate::http::view::{EventView, Shown};
use crate::http::{Api, Problem, json};
use crate::job::{Cursor, Filter};

/// Events looked at in one poll; what follows is for the next one.
const MAX_SEEN: u64 = 50_000;
/// Reads of the log in one poll that end early because events are large.
const MAX_SHORT: usize = 4;

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

/// Server-sent events for a client that accepts `text/event-stream`, else one poll.
pub async fn events(
    State(api): State<Api>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    RawQuery(text): RawQuery,
) -> Result<Response, Problem> {
    let wanted = query::stream_query(text.as_deref())?;
    match accepts(&headers, "text/event-stream") {
        true => sse::stream(&api, peer, &headers, wanted.endless()?),
        false => poll(&api, peer, wanted).await,
    }
}

/// Whether a client names this media type among those it accepts.
pub fn accepts(headers: &HeaderMap, media_type: &str) -> bool {
    elements(headers, &header::ACCEPT).any(|given| {
        let essence = given.split(';').next().unwrap_or_default();
        essence.trim().eq_ignore_ascii_case(media_type)
    })
}

/// `{"events", "cursor", "gap"?}`: what follows `after` and passes the filter, oldest first. When there
/// is nothing, it waits for it up to `wait`. Without `after` it begins where the log ends.
async fn poll(api: &Api, peer: SocketAddr, wanted: StreamQuery) -> Result<Response, Problem> {
    let StreamQuery { after, filter, limit, wait } = wanted;
    let limit = limit.unwrap_or(100);
    let wait = wait.unwrap_or_default().min(api.limits.max_wait);
    let deadline = Instant::now() + wait;
    let draining = &api.engine.shutdown().draining;
    let mut feed = api.feed(after);
    if filter == Filter::default() {
        feed.read_in_steps_of(limit);
    }
    let mut page = Polled::new(filter, limit, feed.cursor());
    while !page.is_full() {
        match feed.next_stored().await? {
            Some(delivery) => page.take_stored(delivery, feed.step()),
            None => break,
        }
        if draining.is_cancelled() {
            break; // a stop waits for requests; the cursor says where to go on
        }
    }
    if !wait.is_zero() && page.found.is_empty() && !page.is_full() && !draining.is_cancelled() {
        let _permit = api.admit(peer, Transport::Poll)?; // it listens for long, as any subscriber
        page.wait(&mut feed, deadline, draining).await?;
    }
    Ok(json(&page.view()))
}

/// The answer to a poll in the making.
struct Polled {
    filter: Filter,
    limit: usize,
    /// Which events of which batches.
    found: Vec<(Arc<Batch>, usize)>,
    /// Everything up to here has been looked at.
    cursor: Cursor,
    began: u64,
    /// How many reads ended early.
    short: usize,
    gap: Option<(Cursor, Cursor)>,
    ended: bool,
}

impl Polled {
    fn new(filter: Filter, limit: usize, cursor: Cursor) -> Self {
        let began = cursor.seq;
        let found = Vec::new();
        Polled { filter, limit, found, cursor, began, short: 0, gap: None, ended: false }
    }

    /// Whether the answer must leave as it is.
    fn is_full(&self) -> bool {
        self.found.len() >= self.limit
            || self.cursor.seq.saturating_sub(self.began) >= MAX_SEEN
            || self.short >= MAX_SHORT
            || self.gap.is_some()
            || self.ended
    }

    /// Takes what one read of the log brought that asked for so many events.
    fn take_stored(&mut self, delivery: Delivery, asked: usize) {
        if let Delivery::Events { batch, .. } = &delivery
            && batch.events.len() < asked
        {
            self.short += 1;
        }
        self.take(delivery);
    }

    fn take(&mut self, delivery: Delivery) {
        match delivery {
            Delivery::Events { batch, after } => {
                for (at, event) in batch.events.iter().enumerate() {
                    if self.found.len() >= self.limit {
                        return;
                    }
                    self.cursor = event.cursor(self.cursor);
                    if event.seq > after && self.filter.matches(event) {
                        self.found.push((batch.clone(), at));
                    }
                }
            }
            // What was found before comes first; the next read begins there and sees the gap again.
            Delivery::Gap { .. } if !self.found.is_empty() => self.ended = true,
            Delivery::Gap { from, to } => {
                self.gap = Some((from, to));
                self.cursor = to;
            }
            Delivery::Ended => self.ended = true,
        }
    }

    /// Waits for the first events, and takes those that come with them.
    async fn wait(
        &mut self,
        feed: &mut Feed,
        deadline: Instant,
        draining: &tokio_util::sync::CancellationToken,
    ) -> Result<(), Problem> {
        while self.found.is_empty() && !self.is_full() {
            tokio::select! {
                delivery = feed.next() => self.take(delivery?),
                () = sleep_until(deadline) => return Ok(()),
                // A stop waits for requests, so they must not wait for events.
                () = draining.cancelled() => return Ok(()),
            }
        }
        while !self.is_full()
            && let Some(delivery) = feed.next_ready()
        {
            self.take(delivery);
        }
        Ok(())
    }

    fn view(&self) -> EventsView<'_> {
        let events = self.found.iter().filter_map(|(batch, at)| batch.events.get(*at));
        EventsView {
            events: events.map(EventView::of).collect(),
            cursor: Shown(self.cursor),
            gap: self.gap.map(|(from, to)| GapView { from: Shown(from), to: Shown(to) }),
        }
    }
}
