//! The list of queues, in several orders, filtered by name and status, grouped by the beginning of their names, and
//! divided into pages. Instead of the rows, it shows how long jobs waited in these queues, as a heat map.

use std::collections::HashMap;

use askama::Template;
use axum::extract::State as Has;
use axum::http::StatusCode;
use axum::response::Response;
use url::form_urlencoded::Serializer;

use crate::engine::{Activity, Engine, QueueStats, Stats, WaitRange};
use crate::job::{QueueName, State, Time};

use super::layout::error::UiError;
use super::layout::page::{Layout, Section, page};
use super::layout::visit::Visit;
use super::parts::filters;
use super::parts::heat_map::{HeatCell, HeatMap, range_name};
use super::parts::node_row::this_process;
use super::parts::queue_groups::{self, ORDERS, QueueGroup, QueueLoad};
use super::parts::queue_row::QueueRow;
use super::parts::unknown_parameters::{ignored, note_unknown};
use super::rewind::asked::AskedMoment;
use super::submit::form_value::cut;

/// The most queues on one page.
const QUEUES_PER_PAGE: usize = 40;
/// With more queues than this, which fit on a screen, the page shows the fields that filter them.
const MAX_UNFILTERED: usize = 10;
/// The value of `?view=` with which the page shows the heat map.
const WAITS: &str = "waits";
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
    /// The heat map, when it is shown instead of the rows.
    heat: Option<HeatMap>,
    /// The queues of the heat map, which are not among the rows.
    of_heat: Vec<QueueName>,
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
    /// The status filters and the orders to choose from.
    filters: Vec<QueueChoice>,
    orders: Vec<QueueChoice>,
}

/// A value in the URL, and its name.
type QueueChoice = (&'static str, &'static str);

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
    /// `waits` to show the heat map.
    view: String,
    /// The range of the heat map.
    range: String,
    /// The page, from 1; 0 is the first page, too.
    page: usize,
    /// The parameters that are none of the page.
    unknown: Vec<String>,
}

/// What depends on recent activity, which is known of the present only.
const OF_THE_PRESENT: [&str; 3] = ["failing", "oldest", WAITS];
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
                "view" => filter.view = value.into_owned(),
                "range" => filter.range = value.into_owned(),
                "page" => filter.page = value.parse().unwrap_or_default(),
                other => note_unknown(&mut filter.unknown, other),
            }
        }
        let QueueFilter { q, show, prefix, sort, group, view, range, .. } = &mut filter;
        cut([q, show, prefix, sort, group, view, range]);
        filter
    }

    /// Leaves out what depends on recent activity. The page names it as ignored.
    fn ignore_the_present(&mut self) {
        let fields = [("show", &mut self.show), ("sort", &mut self.sort), ("view", &mut self.view)];
        for (name, value) in fields {
            if OF_THE_PRESENT.contains(&value.as_str()) {
                self.unknown.push(format!("{name}={value}"));
                value.clear();
            }
        }
    }

    /// Whether some queues are left out.
    fn is_filtered(&self) -> bool {
        !self.q.is_empty() || !self.show.is_empty() || !self.prefix.is_empty()
    }

    fn is_grouped(&self) -> bool {
        self.group == GROUPED && !self.shows_waits()
    }

    fn shows_waits(&self) -> bool {
        self.view == WAITS
    }

    /// The range of the heat map; that of an unknown name is the usual one.
    fn wait_range(&self) -> WaitRange {
        let known = WaitRange::ALL.into_iter().find(|range| range_name(*range) == self.range);
        known.unwrap_or_default()
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
        let QueueFilter { q, show, prefix, sort, group, view, range, .. } = self;
        let fields = [
            ("q", q),
            ("show", show),
            ("prefix", prefix),
            ("sort", sort),
            ("group", group),
            ("view", view),
            ("range", range),
        ];
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

    /// The URL of the same queues as rows, or as a heat map of a range.
    fn viewed(&self, waits: Option<WaitRange>) -> String {
        let (view, range) = match waits {
            Some(range) => (WAITS.to_owned(), range_name(range).to_owned()),
            None => (String::new(), String::new()),
        };
        QueueFilter { view, range, ..self.clone() }.here()
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
    asked: AskedMoment,
) -> Result<Response, UiError> {
    let filter = QueueFilter::parse(&asked.query);
    if let Some(past) = asked.past {
        let stats = engine.stats_at(&past.past).await?;
        let now = past.now();
        return Ok(past.page(StatusCode::OK, &visit, "Queues", Section::Queues, |layout| {
            QueuesPage::of(layout, filter, &stats, &HashMap::new(), &engine, now)
        }));
    }
    let stats = engine.stats().await?;
    let now = engine.now();
    let layout = Layout::live(&visit, "Queues", Section::Queues, stats.cursor, now);
    let activity = engine.queue_activity();
    let mut view = QueuesPage::of(layout, filter, &stats, &activity, &engine, now);
    if view.filter.shows_waits() {
        let (names, range) = (std::mem::take(&mut view.of_heat), view.filter.wait_range());
        let map = engine.wait_map(&names, range).await?;
        view.heat = (!names.is_empty()).then(|| HeatMap::of(&map, &names, range, now));
    }
    Ok(page(StatusCode::OK, &view))
}

impl QueuesPage {
    /// The page of a filter. `activity` is what ended in the queues in the last minutes.
    fn of(
        layout: Layout,
        mut filter: QueueFilter,
        stats: &Stats,
        activity: &HashMap<QueueName, Activity>,
        engine: &Engine,
        now: Time,
    ) -> QueuesPage {
        if layout.is_past() {
            filter.ignore_the_present();
        }
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
        let row = if layout.is_past() { QueueRow::of_past } else { QueueRow::of };
        let (mut queues, mut of_heat) = (Vec::new(), Vec::new());
        let shown = rows.len();
        if filter.shows_waits() {
            of_heat.extend(rows.map(|(name, _, _)| (*name).clone()));
        } else {
            queues.extend(rows.map(|(name, queue, _)| row(name, queue, engine, now)));
        }
        let groups: Vec<QueueGroup> =
            groups.into_iter().skip(skipped).take(QUEUES_PER_PAGE).collect();
        let has_room = !filter.is_filtered() && filter.page == 1;
        let is_known =
            |(value, _): &QueueChoice| !layout.is_past() || !OF_THE_PRESENT.contains(value);
        QueuesPage {
            filters: STATUS_FILTERS.into_iter().filter(is_known).collect(),
            orders: ORDERS.into_iter().filter(is_known).collect(),
            total: stats.queues.len(),
            matching: count,
            first: skipped + 1,
            max: if has_room { QUEUES_PER_PAGE } else { shown },
            max_running: engine.config().max_running,
            process: this_process(engine),
            queues,
            groups,
            of_heat,
            heat: None,
            filter,
            layout,
        }
    }

    /// The sentence about parameters that were ignored.
    fn ignored(&self) -> Option<String> {
        let mut unknown = self.filter.unknown.clone();
        if !self.filters.iter().any(|(value, _)| *value == self.filter.show) {
            unknown.push(format!("show={}", self.filter.show));
        }
        if !self.orders.iter().any(|(value, _)| *value == self.filter.sort) {
            unknown.push(format!("sort={}", self.filter.sort));
        }
        if !["", GROUPED].contains(&self.filter.group.as_str()) {
            unknown.push(format!("group={}", self.filter.group));
        }
        if !["", WAITS].contains(&self.filter.view.as_str()) {
            unknown.push(format!("view={}", self.filter.view));
        }
        let is_range = |range| range_name(range) == self.filter.range;
        if !self.filter.range.is_empty() && !WaitRange::ALL.into_iter().any(is_range) {
            unknown.push(format!("range={}", self.filter.range));
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
        self.first + self.shown() - 1
    }

    /// The number of rows.
    fn shown(&self) -> usize {
        let heat = self.heat.as_ref().map_or(0, |heat| heat.rows.len());
        self.queues.len() + self.groups.len() + heat
    }

    /// The links to the ranges of the heat map: their addresses, their names, and whether it is the current one.
    fn wait_ranges(&self) -> Vec<(String, &'static str, bool)> {
        let current = self.filter.wait_range();
        let link = |range| (self.filter.viewed(Some(range)), range_name(range), range == current);
        WaitRange::ALL.into_iter().map(link).collect()
    }
}
