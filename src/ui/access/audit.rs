//! The audit log: what users, tokens and schedules have done, newest first, with filters by actor and event type.

use std::collections::BTreeSet;

use askama::Template;
use axum::extract::{RawQuery, State as Has};
use axum::http::StatusCode;
use axum::response::Response;
use url::form_urlencoded;

use super::words::{EventText, event_text};
use crate::engine::{AuditActor, AuditQuery, Engine};
use crate::job::{Cursor, Event, EventType, Time, names_of};
use crate::ui::layout::error::{UiError, sentence};
use crate::ui::layout::page::{Layout, Section, page};
use crate::ui::layout::visit::Visit;
use crate::ui::parts::time_format::TimeText;
use crate::ui::parts::unknown_parameters::{ignored, note_unknown};
use crate::ui::submit::form_value::{cut, pairs};

/// The events of a page.
const LIMIT: usize = 50;
/// The most actors suggested.
const MAX_OFFERED: usize = 100;

#[derive(Template)]
#[template(path = "audit.html")]
struct AuditLogPage {
    layout: Layout,
    filter: AuditFilter,
    rows: Vec<AuditRow>,
    /// The names that the filter by actor suggests.
    actors: Vec<String>,
    /// The types that the filter by type suggests.
    types: Vec<&'static str>,
    /// The address of the next page.
    next: Option<String>,
    /// How far the search went, when it ended before the page was full.
    reached: Option<TimeText>,
    /// The time of the oldest event in the log.
    oldest: Option<TimeText>,
    is_newest: bool,
}

/// One event.
struct AuditRow {
    what: EventText,
    /// The actor as the filter takes it.
    by: String,
    /// The name of the actor.
    who: String,
    /// What the actor is: `user`, `token`, `schedule` or `link`; empty when nobody is known to have caused the event.
    sort: &'static str,
    event_type: &'static str,
    when: TimeText,
}

impl AuditRow {
    fn of(event: &Event, now: Time) -> Option<AuditRow> {
        let by = AuditActor::of(event)?;
        let (who, sort) = match &by {
            AuditActor::Known(actor) => (actor.name().to_owned(), actor.kind()),
            AuditActor::System => (by.to_string(), ""),
        };
        Some(AuditRow {
            what: event_text(&event.fact, now),
            by: by.to_string(),
            who,
            sort,
            event_type: event.event_type().as_str(),
            when: TimeText::new(event.at, now),
        })
    }
}

/// The query of the address.
#[derive(Debug, Default)]
struct AuditFilter {
    /// The actors as they were typed.
    by: String,
    /// The types and patterns of types as they were typed.
    types: String,
    wrong_by: String,
    wrong_type: String,
    unknown: Vec<String>,
    query: AuditQuery,
}

impl AuditFilter {
    fn read(text: &str) -> Result<AuditFilter, UiError> {
        let mut filter = AuditFilter {
            query: AuditQuery { limit: LIMIT, ..AuditQuery::default() },
            ..AuditFilter::default()
        };
        let (mut by, mut types) = (Vec::new(), Vec::new());
        for (name, value) in pairs(text.as_bytes())? {
            let values = names_of(&value);
            match name.as_str() {
                "by" => by.extend(values.map(str::to_owned)),
                "type" => types.extend(values.map(str::to_owned)),
                "before" => filter.query.before = value.parse::<Cursor>().ok(),
                other => note_unknown(&mut filter.unknown, other),
            }
        }
        for text in &by {
            match text.parse::<AuditActor>() {
                Ok(actor) => filter.query.by.push(actor),
                Err(invalid) => filter.wrong_by = sentence(&invalid.to_string()),
            }
        }
        for text in &types {
            match EventType::matching(text) {
                Ok(matching) => filter.query.types.extend(matching),
                Err(invalid) => filter.wrong_type = sentence(&invalid.to_string()),
            }
        }
        filter.by = by.join(", ");
        filter.types = types.join(", ");
        cut([&mut filter.by, &mut filter.types]);
        Ok(filter)
    }

    fn is_filtered(&self) -> bool {
        !self.by.is_empty() || !self.types.is_empty()
    }

    /// The actors whose events the page follows; empty for those of everybody. The stream cannot be asked for the events
    /// of nobody.
    fn followed_actors(&self) -> &str {
        if self.query.by.contains(&AuditActor::System) { "" } else { &self.by }
    }

    fn is_valid(&self) -> bool {
        self.wrong_by.is_empty() && self.wrong_type.is_empty()
    }

    /// The sentences about parts that cannot be read.
    fn problems(&self) -> Option<String> {
        (!self.is_valid()).then(|| format!("{} {}", self.wrong_by, self.wrong_type))
    }

    /// The address of the newest page with this filter.
    fn link(&self) -> String {
        self.link_before(None)
    }

    fn link_before(&self, before: Option<Cursor>) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        let before = before.map(|cursor| cursor.to_string()).unwrap_or_default();
        let fields = [("by", &self.by), ("type", &self.types), ("before", &before)];
        query.extend_pairs(fields.into_iter().filter(|(_, value)| !value.is_empty()));
        match query.finish() {
            query if query.is_empty() => "audit".into(),
            query => format!("audit?{query}"),
        }
    }
}

impl AuditLogPage {
    /// The sentence about parameters that were ignored.
    fn ignored(&self) -> Option<String> {
        ignored(&self.filter.unknown)
    }
}

/// `GET /audit`
pub async fn show(
    Has(engine): Has<Engine>,
    visit: Visit,
    RawQuery(text): RawQuery,
) -> Result<Response, UiError> {
    let filter = AuditFilter::read(text.as_deref().unwrap_or_default())?;
    // A filter that cannot be read finds nothing, instead of everything.
    let limit = if filter.is_valid() { LIMIT } else { 0 };
    let found = engine.audit(&AuditQuery { limit, ..filter.query.clone() }).await?;
    let now = engine.now();
    // Older pages do not change, and a filter that cannot be read has no stream.
    let layout = if filter.is_valid() && filter.query.before.is_none() {
        Layout::live(&visit, "Audit log", Section::Audit, found.cursor, now)
    } else {
        Layout::still(&visit, "Audit log", Section::Audit, now)
    };
    let status = if filter.is_valid() { StatusCode::OK } else { StatusCode::BAD_REQUEST };
    let rows: Vec<AuditRow> =
        found.events.iter().filter_map(|event| AuditRow::of(event, now)).collect();
    let view = AuditLogPage {
        actors: actors(&engine, &rows),
        types: EventType::ALL.into_iter().map(EventType::as_str).collect(),
        next: found.next.filter(|_| limit > 0).map(|next| filter.link_before(Some(next))),
        reached: found.reached.map(|at| TimeText::new(at, now)),
        oldest: found.oldest.map(|at| TimeText::new(at, now)),
        is_newest: filter.query.before.is_none(),
        rows,
        filter,
        layout,
    };
    Ok(page(status, &view))
}

/// The actors that the filter suggests: all users and tokens, and those of the events on the page.
fn actors(engine: &Engine, rows: &[AuditRow]) -> Vec<String> {
    let table = engine.access_table();
    let table = table.borrow();
    let users = table.users().map(|user| format!("user:{}", user.name));
    let tokens = table.tokens().into_iter().map(|token| format!("token:{}", token.name));
    let shown = rows.iter().map(|row| row.by.clone());
    let all: BTreeSet<String> = users.chain(tokens).chain(shown).collect();
    all.into_iter().take(MAX_OFFERED).collect()
}
