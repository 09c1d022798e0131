//! What surrounds every page: title, navigation, the files to load and the place its socket starts at.
//! Rendering goes through here so that a template's failure is an answer, never a panic.

use askama::Template;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};

use crate::http::layers::base_path;
use crate::job::{Cursor, Time};

use super::assets;

/// The frame around a page; the template `layout.html` reads it.
pub struct Shell {
    /// The browser's title, without the product's name.
    pub title: String,
    /// Which entry of the navigation is lit.
    pub section: Section,
    /// The place in the log that the page shows; its socket starts there. `None`: the page has no socket.
    pub cursor: Option<Cursor>,
    /// What every address on the page is relative to: the base path, with a slash at its end.
    pub base: String,
    /// The page's own address, for links to its parts: `#main` alone would be a part of `base`.
    pub here: String,
    /// The folder of scripts and styles.
    pub assets: String,
    /// What the engine's clock said, so that the browser shows relative times by it. `None`: the page has no times.
    pub now: Option<Time>,
    /// The version at the foot of the page.
    pub version: &'static str,
}

/// The parts of the dashboard, as the navigation names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// The overview.
    Home,
    /// Lists of jobs.
    Jobs,
    /// The list of discarded jobs.
    DeadLetters,
    /// One job.
    Job,
    /// The submit form.
    NewJob,
    /// The list of queues.
    Queues,
    /// One queue.
    Queue,
    /// Groups of failures.
    Failures,
    /// One group of failures.
    Failure,
    /// Cron entries.
    Schedules,
    /// One cron entry, or a new one.
    Schedule,
    /// Who runs what.
    Workers,
    /// The operator's page.
    System,
    /// Anything else: an error page.
    None,
}

impl Section {
    /// The name that scripts know the page by.
    pub fn as_str(self) -> &'static str {
        match self {
            Section::Home => "home",
            Section::Jobs | Section::DeadLetters => "jobs",
            Section::Job => "job",
            Section::NewJob => "new-job",
            Section::Queues => "queues",
            Section::Queue => "queue",
            Section::Failures => "failures",
            Section::Failure => "failure",
            Section::Schedules => "schedules",
            Section::Schedule => "schedule",
            Section::Workers => "workers",
            Section::System => "system",
            Section::None => "none",
        }
    }
}

impl Shell {
    /// A page whose socket starts at `cursor`, with times as they are seen from `now`.
    pub fn live(title: impl Into<String>, section: Section, cursor: Cursor, now: Time) -> Self {
        Shell { cursor: Some(cursor), ..Shell::still(title, section, now) }
    }

    /// A page that nothing changes, with times as they are seen from `now`.
    pub fn still(title: impl Into<String>, section: Section, now: Time) -> Self {
        Shell { section, now: Some(now), ..Shell::error(title) }
    }

    /// A page that says what went wrong: nothing changes it, and no time stands on it.
    pub fn error(title: impl Into<String>) -> Self {
        Shell {
            title: title.into(),
            section: Section::None,
            cursor: None,
            base: base_path::url(""),
            here: base_path::here(),
            assets: assets::folder(),
            now: None,
            version: env!("CARGO_PKG_VERSION"),
        }
    }

    /// Whether the navigation entry is the page shown.
    pub fn is(&self, section: Section) -> bool {
        self.section == section
    }
}

/// The answer to a form: 303 to another page. `relative` is its address as templates write it.
pub fn see_other(relative: &str) -> Redirect {
    Redirect::to(&base_path::url(relative))
}

/// `no-cache` asks again each time and still lets the browser's back button be instant.
const HEADERS: [(HeaderName, &str); 2] =
    [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CACHE_CONTROL, "no-cache")];

/// A page as the answer to a request.
pub fn page<T: Template>(status: StatusCode, template: &T) -> Response {
    match template.render() {
        Ok(html) => (status, HEADERS, html).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page could not be rendered");
            (StatusCode::INTERNAL_SERVER_ERROR, "the page could not be rendered").into_response()
        }
    }
}
