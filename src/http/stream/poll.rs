//! `GET /api/v1/events`: the event log over plain HTTP. A client that accepts server-sent events receives a stream; any
//! other polls, and may wait for events. The cursors are the same as those of the WebSocket.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, header};
use axum::response::Response;
use serde::Serialize;
use tokio::time::{Instant, sleep_until};

use super::feed::{Delivery, Feed};
use super::reader::StreamReader;
use super::sse;
use super::start::start_after;
use crate::engine::{Batch, Transport};
use crate::http::access::job_scope::JobScope;
use crate::http::access::messages::SocketMessage;
use crate::http::api::query;
use crate::http::api::query::StreamQuery;
use crate::http::layers::header_list;
use crate::http::view::{Displayed, PolledEvent, StatsMessage, stats_message_view};
use crate::http::{Api, Problem, json};
use crate::job::{Cursor, Filter};

/// The number of events that one poll examines; the next poll continues after them.
const MAX_EXAMINED: u64 = 50_000;
/// The number of reads of the log that may end early, because events are large, before a poll is answered.
const MAX_SHORT_READS: usize = 4;

#[derive(Serialize)]
struct EventsView<'a> {
    events: Vec<PolledEvent<'a>>,
    /// The `after` of the next poll.
    cursor: Displayed<Cursor>,
    /// Present when the log does not reach back to `after`: the events in between cannot be read any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    gap: Option<GapView>,
    /// Present when the query asks for it: the live statistics as of the answer, as in a `stats` message.
    #[serde(skip_serializing_if = "Option::is_none")]
    stats: Option<StatsMessage<'a>>,
}

#[derive(Serialize)]
struct GapView {
    from: Displayed<Cursor>,
    to: Displayed<Cursor>,
}

/// Streams server-sent events to a client that accepts `text/event-stream`, and answers one poll of any other.
pub async fn events(
    State(api): State<Api>,
    reader: StreamReader,
    headers: HeaderMap,
    RawQuery(text): RawQuery,
) -> Result<Response, Problem> {
    let mut query = query::stream_query(text.as_deref())?;
    query.after = start_after(&headers, query.after)?;
    if query.stats {
        reader.watch.check_message(SocketMessage::SubscribeStats)?;
    }
    if accepts(&headers, "text/event-stream") {
        sse::stream(&api, reader, query.endless()?)
    } else {
        poll(&api, reader, query).await
    }
}

/// Whether a client's `Accept` header lists this media type.
pub fn accepts(headers: &HeaderMap, media_type: &str) -> bool {
    header_list::accepts(headers, &header::ACCEPT, media_type)
}

/// Answers `{"events", "cursor", "gap"?, "stats"?}`: the events after `after` that pass the filter, oldest first. When there are
/// none, it waits for some, `wait` at most. Without `after` it begins at the end of the log.
async fn poll(api: &Api, reader: StreamReader, query: StreamQuery) -> Result<Response, Problem> {
    let StreamReader { peer, scope, mut watch } = reader;
    let StreamQuery { after, filter, limit, wait, stats } = query;
    let filter = scope.readable(filter);
    let limit = limit.unwrap_or(100);
    let wait = wait.unwrap_or_default().min(api.limits.max_wait);
    let deadline = Instant::now() + wait;
    let draining = &api.engine.shutdown().draining;
    let mut feed = api.feed(after);
    if filter == Filter::default() && !scope.is_restricted() {
        feed.read_in_steps_of(limit);
    }
    let mut page = PollAnswer::new(filter, scope, limit, feed.cursor());
    while !page.is_full() {
        match feed.next_stored().await? {
            Some(delivery) => page.take_stored(delivery, feed.step()),
            None => break,
        }
        if draining.is_cancelled() {
            break; // a stop waits for requests, and the cursor says where the next poll continues
        }
    }
    if !wait.is_zero() && page.found.is_empty() && !page.is_full() && !draining.is_cancelled() {
        let _permit = api.admit(peer, Transport::Poll)?; // a waiting poll counts as a subscriber
        tokio::select! {
            waited = page.wait(&mut feed, deadline, draining) => waited?,
            () = watch.ended() => return Err(watch.problem()),
        }
    }
    // Read after the events, so that their cursor is never ahead of that of the statistics.
    let stats = if stats { Some(api.engine.live_stats_now().await?) } else { None };
    let stats = stats.as_ref().map(|stats| stats_message_view(stats, api.engine.config()));
    Ok(json(&EventsView { stats, ..page.view() }))
}

/// Collects the answer to a poll.
struct PollAnswer {
    filter: Filter,
    scope: JobScope,
    limit: usize,
    /// The events, each as its batch and its index in it.
    found: Vec<(Arc<Batch>, usize)>,
    /// Every event up to here has been examined.
    cursor: Cursor,
    /// The number of the event after which the poll began.
    began: u64,
    /// The number of reads that ended early.
    short_reads: usize,
    gap: Option<(Cursor, Cursor)>,
    /// Whether the answer is complete although there is room for more.
    ended: bool,
}

impl PollAnswer {
    fn new(filter: Filter, scope: JobScope, limit: usize, cursor: Cursor) -> Self {
        PollAnswer {
            filter,
            scope,
            limit,
            found: Vec::new(),
            cursor,
            began: cursor.seq,
            short_reads: 0,
            gap: None,
            ended: false,
        }
    }

    /// Whether the answer is complete.
    fn is_full(&self) -> bool {
        self.found.len() >= self.limit
            || self.cursor.seq.saturating_sub(self.began) >= MAX_EXAMINED
            || self.short_reads >= MAX_SHORT_READS
            || self.gap.is_some()
            || self.ended
    }

    /// Adds what a read of the log for `requested` events has returned.
    fn take_stored(&mut self, delivery: Delivery, requested: usize) {
        if let Delivery::Events { batch, .. } = &delivery
            && batch.events.len() < requested
        {
            self.short_reads += 1;
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
                    if event.seq > after && self.filter.matches(event) && self.scope.shows(event) {
                        self.found.push((batch.clone(), at));
                    }
                }
            }
            // The events before the gap are answered first; the next poll begins after them and meets the gap again.
            Delivery::Gap { .. } if !self.found.is_empty() => self.ended = true,
            Delivery::Gap { from, to } => {
                self.gap = Some((from, to));
                self.cursor = to;
            }
            Delivery::Ended => self.ended = true,
        }
    }

    /// Waits for the first events, and adds those that have arrived with them.
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
                // A stop waits for requests, so a poll must not wait for events any longer.
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
            events: events.map(|event| self.scope.view(event)).collect(),
            cursor: Displayed(self.cursor),
            gap: self.gap.map(|(from, to)| GapView { from: Displayed(from), to: Displayed(to) }),
            stats: None,
        }
    }
}
