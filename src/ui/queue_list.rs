//! The list of queues, sorted by name, filtered by name and status, and divided into pages.

use askama::Template;
use axum::extract::{RawQuery, State as Has};
use axum::http::StatusCode;
use axum::response::Response;
use url::form_urlencoded::Serializer;

use crate::engine::{Activity, Engine, QueueStats};
use crate::job::State;

use super::layout::error::UiError;
use super::layout::page::{Layout, Section, page};
use super::layout::visit::Visit;
use super::parts::filters;
use super::parts::node_row::this_process;
use super::parts::queue_row::QueueRow;
use super::parts::unknown_parameters::{ignored, note_unknown};
use super::submit::form_value::cut;

/// The most queues on one page.
const QUEUES_PER_PAGE: usize = 40;
/// With more queues than this, which fit on a screen, the page shows the fields that filter them.
const MAX_UNFILTERED: usize = 10;

#[derive(Template)]
#[template(path = "queues.html")]
struct QueuesPage {
    layout: Layout,
    filter: QueueFilter,
    queues: Vec<QueueRow>,
    /// The queues that exist.
    total: usize,
    /// The queues that match the filter.
    matching: usize,
    /// The position of the first row among the matching queues, from 1.
    first: usize,
    /// The number of rows from which on the page has no room for a new queue.
    max: usize,
    max_running: usize,
    /// What the process is called that may run so many.
    process: &'static str,
}

/// The filter of the list and the number of the page, as read from the URL.
#[derive(Debug, Clone, Default)]
pub struct QueueFilter {
    /// Text that the name contains.
    q: String,
    /// The status filter: empty for all queues, or a value of [`STATUS_FILTERS`].
    show: String,
    /// The page, from 1; 0 is the first page, too.
    page: usize,
    /// The parameters that are none of the page.
    unknown: Vec<String>,
}

/// The status filters to choose from: their values in the URL, and their names.
const STATUS_FILTERS: [(&str, &str); 5] = [
    ("", "All queues"),
    ("waiting", "With available jobs"),
    ("running", "With running jobs"),
    ("failing", "Failing"),
    ("paused", "Paused"),
];

impl QueueFilter {
    /// Reads a filter from a query string. The page names other parameters.
    pub fn parse(query: &str) -> QueueFilter {
        let mut filter = QueueFilter::default();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match name.as_ref() {
                "q" => filter.q = value.trim().to_owned(),
                "show" => filter.show = value.into_owned(),
                "page" => filter.page = value.parse().unwrap_or_default(),
                other => note_unknown(&mut filter.unknown, other),
            }
        }
        cut([&mut filter.q, &mut filter.show]);
        filter
    }

    /// Whether some queues are left out.
    fn is_filtered(&self) -> bool {
        !self.q.is_empty() || !self.show.is_empty()
    }

    /// Whether a queue passes the status filter.
    fn has_status(&self, queue: &QueueStats, activity: Activity) -> bool {
        let has = |state| queue.states.get(&state).is_some_and(|count| *count > 0);
        match self.show.as_str() {
            "waiting" => has(State::Available),
            "running" => has(State::Running),
            "failing" => activity.failed > 0,
            "paused" => queue.settings.paused,
            _ => true,
        }
    }

    /// The URL of a page of the list, relative to the base.
    pub fn link(&self, page: usize) -> String {
        let mut query = Serializer::new(String::new());
        let fields = [("q", &self.q), ("show", &self.show)];
        for (name, value) in fields.into_iter().filter(|(_, value)| !value.is_empty()) {
            query.append_pair(name, value);
        }
        if page > 1 {
            query.append_pair("page", &page.to_string());
        }
        match query.finish() {
            query if query.is_empty() => "queues".to_owned(),
            query => format!("queues?{query}"),
        }
    }

    /// The URL of this page of the list.
    pub fn here(&self) -> String {
        self.link(self.page)
    }
}

/// `GET /queues`; `?q=` and `?show=` filter the list, and `?page=` chooses a page.
pub async fn show(
    Has(engine): Has<Engine>,
    visit: Visit,
    RawQuery(query): RawQuery,
) -> Result<Response, UiError> {
    let mut filter = QueueFilter::parse(&query.unwrap_or_default());
    let stats = engine.stats().await?;
    let now = engine.now();
    let layout = Layout::live(&visit, "Queues", Section::Queues, stats.cursor, now);
    let activity = engine.queue_activity();
    let of = |name| activity.get(name).copied().unwrap_or_default();
    let text = filter.q.to_lowercase();
    let matching: Vec<_> = stats
        .queues
        .iter()
        .filter(|(name, queue)| filter.has_status(queue, of(*name)))
        .filter(|(name, _)| name.as_str().to_lowercase().contains(&text))
        .collect();
    filter.page = filter.page.clamp(1, matching.len().div_ceil(QUEUES_PER_PAGE).max(1));
    let skipped = (filter.page - 1) * QUEUES_PER_PAGE;
    let rows = matching.iter().skip(skipped).take(QUEUES_PER_PAGE);
    let queues: Vec<QueueRow> =
        rows.map(|(name, queue)| QueueRow::of(name, queue, &engine, now)).collect();
    let has_room = !filter.is_filtered() && filter.page == 1;
    let view = QueuesPage {
        total: stats.queues.len(),
        matching: matching.len(),
        first: skipped + 1,
        max: if has_room { QUEUES_PER_PAGE } else { queues.len() },
        max_running: engine.config().max_running,
        process: this_process(&engine),
        queues,
        filter,
        layout,
    };
    Ok(page(StatusCode::OK, &view))
}

impl QueuesPage {
    /// The sentence about parameters that were ignored.
    fn ignored(&self) -> Option<String> {
        let mut unknown = self.filter.unknown.clone();
        if !STATUS_FILTERS.iter().any(|(value, _)| *value == self.filter.show) {
            unknown.push(format!("show={}", self.filter.show));
        }
        ignored(&unknown)
    }

    fn has_filter(&self) -> bool {
        self.filter.is_filtered() || self.total > MAX_UNFILTERED
    }

    /// Where the buttons of the rows lead back to.
    fn return_to(&self) -> String {
        self.filter.here()
    }

    /// The URL of the page before this one.
    fn previous(&self) -> Option<String> {
        (self.filter.page > 1).then(|| self.filter.link(self.filter.page - 1))
    }

    /// The URL of the page after this one.
    fn next(&self) -> Option<String> {
        (self.last() < self.matching).then(|| self.filter.link(self.filter.page + 1))
    }

    /// The position of the last row among the matching queues.
    fn last(&self) -> usize {
        self.first + self.queues.len() - 1
    }
}
