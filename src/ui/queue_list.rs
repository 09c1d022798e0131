//! The list of queues, in several orders, filtered by name and status, grouped by the beginning of their names, and
//! divided into pages.

use askama::Template;
use axum::extract::{RawQuery, State as Has};
use axum::http::StatusCode;
use axum::response::Response;
use url::form_urlencoded::Serializer;

use crate::engine::{Activity, Engine, QueueStats};
use crate::job::{QueueName, State};

use super::layout::error::UiError;
use super::layout::page::{Layout, Section, page};
use super::layout::visit::Visit;
use super::parts::filters;
use super::parts::node_row::this_process;
use super::parts::queue_groups::{self, ORDERS, QueueGroup, QueueLoad};
use super::parts::queue_row::QueueRow;
use super::parts::unknown_parameters::{ignored, note_unknown};
use super::submit::form_value::cut;

/// The most queues on one page.
const QUEUES_PER_PAGE: usize = 40;
/// With more queues than this, which fit on a screen, the page shows the fields that filter them.
const MAX_UNFILTERED: usize = 10;
/// The value of `?group=` with which queues are grouped.
const GROUPED: &str = "prefix";

#[derive(Template)]
#[template(path = "queues.html")]
struct QueuesPage {
    layout: Layout,
    filter: QueueFilter,
    queues: Vec<QueueRow>,
    /// The groups, when queues are grouped; there are no rows then.
    groups: Vec<QueueGroup>,
    /// The queues that exist.
    total: usize,
    /// The queues that match the filter, or their groups.
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
    /// What the name begins with.
    prefix: String,
    /// The order, a value of [`ORDERS`].
    sort: String,
    /// `prefix` to show queues whose names begin alike as one row.
    group: String,
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
                "prefix" => filter.prefix = value.trim().to_owned(),
                "sort" => filter.sort = value.into_owned(),
                "group" => filter.group = value.into_owned(),
                "page" => filter.page = value.parse().unwrap_or_default(),
                other => note_unknown(&mut filter.unknown, other),
            }
        }
        let QueueFilter { q, show, prefix, sort, group, .. } = &mut filter;
        cut([q, show, prefix, sort, group]);
        filter
    }

    /// Whether some queues are left out.
    fn is_filtered(&self) -> bool {
        !self.q.is_empty() || !self.show.is_empty() || !self.prefix.is_empty()
    }

    fn is_grouped(&self) -> bool {
        self.group == GROUPED
    }

    /// Whether a queue has the name that is looked for.
    fn has_name(&self, name: &QueueName) -> bool {
        let name = name.as_str();
        name.starts_with(&self.prefix) && name.to_lowercase().contains(&self.q.to_lowercase())
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
        let QueueFilter { q, show, prefix, sort, group, .. } = self;
        let fields =
            [("q", q), ("show", show), ("prefix", prefix), ("sort", sort), ("group", group)];
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

/// `GET /queues`; `?q=`, `?prefix=` and `?show=` filter the list, `?sort=` orders it, `?group=prefix` groups it, and `?page=`
/// chooses a page.
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
    let mut matching: Vec<_> = stats
        .queues
        .iter()
        .filter(|(name, queue)| filter.has_name(name) && filter.has_status(queue, of(*name)))
        .map(|(name, queue)| (name, queue, QueueLoad::of(queue, of(name))))
        .collect();
    let mut groups = Vec::new();
    if filter.is_grouped() {
        let loads = matching.drain(..).map(|(name, _, load)| (name, load));
        groups = queue_groups::groups(loads, &filter.sort, now);
    }
    matching.sort_by(|(_, _, a), (_, _, b)| a.compare(b, &filter.sort));
    let count = matching.len().max(groups.len());
    filter.page = filter.page.clamp(1, count.div_ceil(QUEUES_PER_PAGE).max(1));
    let skipped = (filter.page - 1) * QUEUES_PER_PAGE;
    let rows = matching.iter().skip(skipped).take(QUEUES_PER_PAGE);
    let queues: Vec<QueueRow> =
        rows.map(|(name, queue, _)| QueueRow::of(name, queue, &engine, now)).collect();
    let groups: Vec<QueueGroup> = groups.into_iter().skip(skipped).take(QUEUES_PER_PAGE).collect();
    let has_room = !filter.is_filtered() && filter.page == 1;
    let view = QueuesPage {
        total: stats.queues.len(),
        matching: count,
        first: skipped + 1,
        max: if has_room { QUEUES_PER_PAGE } else { queues.len() },
        max_running: engine.config().max_running,
        process: this_process(&engine),
        queues,
        groups,
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
        if !ORDERS.iter().any(|(value, _)| *value == self.filter.sort) {
            unknown.push(format!("sort={}", self.filter.sort));
        }
        if !["", GROUPED].contains(&self.filter.group.as_str()) {
            unknown.push(format!("group={}", self.filter.group));
        }
        ignored(&unknown)
    }

    fn has_filter(&self) -> bool {
        let QueueFilter { sort, group, .. } = &self.filter;
        let is_arranged = !sort.is_empty() || !group.is_empty();
        self.filter.is_filtered() || is_arranged || self.total > MAX_UNFILTERED
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
        self.first + self.queues.len() + self.groups.len() - 1
    }
}
