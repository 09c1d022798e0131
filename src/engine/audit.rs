//! The audit log: the events that somebody caused, and all about users, tokens, sessions and links, newest first. The event log is the only record of them, so a page of
//! the audit log is read backwards from it, in windows that become longer while nothing is found.

use std::fmt;
use std::str::FromStr;

use crate::job::{Actor, Cursor, Event, EventType, Fact, Filter, Invalid, Time};

use super::{Engine, Events, StoreError};

/// The first window in events. The newest page of a quiet log needs no more.
const FIRST_WINDOW: u64 = 256;
/// The longest window in events, which is in memory as a whole.
const LONGEST_WINDOW: u64 = 4_096;
/// The number of events that one page examines at most before it says where to continue.
const MAX_EXAMINED: u64 = 50_000;

/// Who caused an event of the audit log. Its text is `user:anna`, or `system`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditActor {
    /// Somebody who is known.
    Known(Actor),
    /// Nobody who is known: the start that creates the first admin, a command on the data directory, or a change from the
    /// time in which nobody had to log in.
    System,
}

impl AuditActor {
    const SYSTEM: &str = "system";

    /// Who caused an event; `None` if the event does not belong to the audit log.
    pub fn of(event: &Event) -> Option<AuditActor> {
        match (&event.by, &event.fact) {
            (Some(actor), _) => Some(AuditActor::Known(actor.clone())),
            (None, Fact::Access { .. }) => Some(AuditActor::System),
            (None, Fact::Job { .. } | Fact::Queue { .. } | Fact::Schedule { .. }) => None,
        }
    }
}

impl fmt::Display for AuditActor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AuditActor::Known(actor) => actor.fmt(f),
            AuditActor::System => f.write_str(Self::SYSTEM),
        }
    }
}

impl FromStr for AuditActor {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text == Self::SYSTEM {
            return Ok(AuditActor::System);
        }
        let accepted = "use user:NAME, token:NAME, schedule:NAME, link:ID or system";
        text.parse().map(AuditActor::Known).map_err(|_| Invalid::new("by", text, accepted))
    }
}

/// What a page of the audit log shows.
#[derive(Debug, Clone, Default)]
pub struct AuditQuery {
    /// The actors; empty for all.
    pub by: Vec<AuditActor>,
    /// The types of events; empty for all.
    pub types: Vec<EventType>,
    /// Only events before the one after this cursor, which an earlier page gave. A cursor of another epoch, or none,
    /// begins with the newest event.
    pub before: Option<Cursor>,
    /// The most events.
    pub limit: usize,
}

/// A page of the audit log.
#[derive(Debug, Clone)]
pub struct AuditPage {
    /// The events, newest first.
    pub events: Vec<Event>,
    /// Where the next page begins; `None` at the beginning of the log.
    pub next: Option<Cursor>,
    /// The time of the oldest event that was examined, when the page ended there without being full.
    pub reached: Option<Time>,
    /// The time of the oldest event in the log; `None` when the log is empty.
    pub oldest: Option<Time>,
    /// The cursor at which the page was read.
    pub cursor: Cursor,
}

/// A part of the log.
struct AuditWindow {
    /// The events that match, oldest first.
    found: Vec<Event>,
    /// The time of its first event.
    begins: Option<Time>,
    /// The position before its first event. It is later than requested when the log was trimmed.
    after: Cursor,
}

impl Engine {
    /// Reads a page of the audit log. Its cost is bounded by the number of events that it examines.
    pub async fn audit(&self, query: &AuditQuery) -> Result<AuditPage, StoreError> {
        let stats = self.stats().await?;
        let (head, oldest) = (stats.cursor, stats.oldest);
        let types = Filter { types: query.types.clone(), ..Filter::default() };
        let is_wanted = |event: &Event| {
            AuditActor::of(event).is_some_and(|by| query.by.is_empty() || query.by.contains(&by))
                && types.matches(event)
        };
        let start = query.before.filter(|before| before.epoch == head.epoch);
        let mut end = Cursor { seq: start.map_or(head.seq, |at| at.seq.min(head.seq)), ..head };
        let mut page = AuditPage {
            events: Vec::new(),
            next: None,
            reached: None,
            oldest: self.first_after(oldest).await?,
            cursor: head,
        };
        let (mut length, mut examined) = (FIRST_WINDOW, 0);
        while end.seq > oldest.seq && page.events.len() < query.limit {
            if examined >= MAX_EXAMINED {
                page.next = Some(end);
                return Ok(page);
            }
            let begin = Cursor { seq: end.seq.saturating_sub(length).max(oldest.seq), ..head };
            let window = self.window(begin, end, &is_wanted).await?;
            let room = query.limit - page.events.len();
            let is_full = window.found.len() >= room;
            page.events.extend(window.found.into_iter().rev().take(room));
            page.reached = window.begins.filter(|_| !is_full);
            examined += end.seq - window.after.seq.min(end.seq);
            if is_full {
                let last = page.events.last().map_or(end.seq, |event| event.seq - 1);
                page.next = Some(Cursor { seq: last, ..head }).filter(|next| next.seq > oldest.seq);
                return Ok(page);
            }
            if window.after.seq > begin.seq {
                break; // what was before it has been trimmed
            }
            end = begin;
            length = (length * 2).min(LONGEST_WINDOW);
        }
        page.reached = None;
        Ok(page)
    }

    /// The matching events after `begin` and up to `end`.
    async fn window(
        &self,
        begin: Cursor,
        end: Cursor,
        is_wanted: &(impl Fn(&Event) -> bool + Sync),
    ) -> Result<AuditWindow, StoreError> {
        let mut window = AuditWindow { found: Vec::new(), begins: None, after: begin };
        let mut at = begin;
        while at.seq < end.seq {
            let max = usize::try_from(end.seq - at.seq).unwrap_or(usize::MAX);
            match self.events(at, max).await? {
                Events::Some(events) => {
                    let Some(last) = events.last() else { break };
                    at = last.cursor(at);
                    window.begins = window.begins.or(events.first().map(|event| event.at));
                    window.found.extend(events.into_iter().filter(is_wanted));
                }
                Events::Gap { oldest, .. } if oldest.seq > at.seq && oldest.epoch == at.epoch => {
                    at = oldest;
                    window.after = oldest;
                }
                Events::Gap { .. } => break,
            }
        }
        Ok(window)
    }

    /// The time of the first event after a cursor.
    async fn first_after(&self, cursor: Cursor) -> Result<Option<Time>, StoreError> {
        Ok(match self.events(cursor, 1).await? {
            Events::Some(events) => events.first().map(|event| event.at),
            Events::Gap { .. } => None,
        })
    }
}
