//! The page that finds queues, kinds, schedules, workers, pages and jobs by a part of their name. The command palette
//! shows the same rows in a dialog.

use askama::Template;
use axum::extract::{RawQuery, State as Has};
use axum::http::StatusCode;
use axum::response::Response;

use crate::engine::{Engine, WorkerQuery};
use crate::job::JobId;

use super::kind_list::all_kinds;
use super::layout::error::UiError;
use super::layout::page::{Layout, Section, page};
use super::layout::viewer::Viewer;
use super::layout::visit::Visit;
use super::parts::filters::{escaped_segment, query_link};
use super::parts::unknown_parameters::{ignored, note_unknown};
use super::submit::form_value::cut;

/// The most rows of each sort.
const ROWS: usize = 8;

#[derive(Template)]
#[template(path = "find.html")]
struct FindPage {
    layout: Layout,
    q: String,
    rows: Vec<FoundRow>,
    /// Whether more of some sort match than are shown.
    is_cut: bool,
    ignored: Option<String>,
}

/// Something that was found.
struct FoundRow {
    /// What it is.
    sort: &'static str,
    /// Its name.
    name: String,
    /// Its page, relative to the base.
    href: String,
}

impl FoundRow {
    fn new(sort: &'static str, name: impl Into<String>, href: String) -> FoundRow {
        FoundRow { sort, name: name.into(), href }
    }
}

/// Who may open a page.
type Allowed = fn(&Viewer) -> bool;

/// The pages, and who may open them.
const PAGES: [(&str, &str, Allowed); 19] = [
    ("Home", "./", |_| true),
    ("Wallboard", "wallboard", |_| true),
    ("Jobs", "jobs", |_| true),
    ("New job", "jobs/new", Viewer::may_submit),
    ("Running jobs", "jobs?state=running", |_| true),
    ("Discarded jobs", "jobs?state=discarded", |_| true),
    ("Timeline", "timeline", |_| true),
    ("Queues", "queues", |_| true),
    ("Kinds", "kinds", |_| true),
    ("Failures", "failures", |_| true),
    ("Schedules", "schedules", |_| true),
    ("New schedule", "schedules/new", Viewer::may_operate),
    ("Workers", "workers", |_| true),
    ("Bulk runs", "jobs/bulk", |_| true),
    ("Share links", "links", Viewer::may_operate),
    ("System", "system", Viewer::may_operate),
    ("Audit log", "audit", Viewer::may_administer),
    ("Users", "users", Viewer::may_administer),
    ("Tokens", "tokens", Viewer::may_administer),
];

/// `GET /find`; `?q=` is a part of a name, or the id of a job.
pub async fn show(
    Has(engine): Has<Engine>,
    visit: Visit,
    RawQuery(query): RawQuery,
) -> Result<Response, UiError> {
    let (mut q, mut unknown) = (String::new(), Vec::new());
    for (name, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        match name.as_ref() {
            "q" => q = value.trim().to_owned(),
            other => note_unknown(&mut unknown, other),
        }
    }
    cut([&mut q]);
    let mut found = FoundRows::new(&q);
    if let Ok(id) = q.parse::<JobId>()
        && let (Some(job), _) = engine.job(id).await?
    {
        let name = format!("{} {id}", job.labels.kind);
        found.rows.push(FoundRow::new("Job", name, format!("jobs/{id}")));
    }
    let pages = PAGES.iter().filter(|(.., allowed)| allowed(visit.viewer()));
    found.add("Page", pages.map(|(name, href, _)| (*name, (*href).to_owned())));
    let stats = engine.stats().await?;
    let queues = stats.queues.keys().map(|name| name.as_str());
    found.add("Queue", queues.map(|name| (name, format!("queues/{}", escaped_segment(name)))));
    let kinds = all_kinds(&engine, &stats);
    let kinds = kinds.iter().map(|kind| kind.as_str());
    found.add("Kind", kinds.map(|name| (name, format!("kinds/{}", escaped_segment(name)))));
    let (schedules, _) = engine.schedules().await?;
    let schedules = schedules.iter().map(|schedule| schedule.name.as_str());
    found.add(
        "Schedule",
        schedules.map(|name| (name, format!("schedules/of/{}", escaped_segment(name)))),
    );
    if !q.is_empty() {
        let query = WorkerQuery { text: q.clone(), ..WorkerQuery::default() };
        let workers = engine.remote_worker_page(&query, None, ROWS + 1).workers;
        let workers = workers.iter().map(|worker| worker.name.as_str());
        found.add("Worker", workers.map(|name| (name, query_link("workers", "q", name))));
        let href = query_link("jobs", "q", &q);
        found.rows.push(FoundRow::new("Search", format!("Jobs with “{q}”"), href));
    }
    let view = FindPage {
        layout: Layout::still(&visit, "Find", Section::Find, engine.now()),
        rows: found.rows,
        is_cut: found.is_cut,
        ignored: ignored(&unknown),
        q,
    };
    Ok(page(StatusCode::OK, &view))
}

/// What was found so far.
struct FoundRows {
    /// The text in lower case.
    text: String,
    rows: Vec<FoundRow>,
    is_cut: bool,
}

impl FoundRows {
    fn new(q: &str) -> FoundRows {
        FoundRows { text: q.to_lowercase(), rows: Vec::new(), is_cut: false }
    }

    /// Adds those whose name contains the text, at first those whose name begins with it.
    fn add<'a>(&mut self, sort: &'static str, all: impl Iterator<Item = (&'a str, String)>) {
        let mut matching: Vec<_> = all
            .filter_map(|(name, href)| {
                let at = name.to_lowercase().find(&self.text)?;
                Some((at > 0, name, href))
            })
            .collect();
        matching.sort_by_key(|(is_inside, ..)| *is_inside);
        // Without a text, only the pages are listed whole.
        let limit = if self.text.is_empty() && sort == "Page" { PAGES.len() } else { ROWS };
        self.is_cut |= matching.len() > limit;
        let rows = matching.into_iter().take(limit);
        self.rows.extend(rows.map(|(_, name, href)| FoundRow::new(sort, name, href)));
    }
}
