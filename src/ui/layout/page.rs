//! The layout around every page: title, navigation, the files to load, and the cursor that its event stream
//! starts from. Every page is rendered here, so that a failing template becomes an error response, not a panic.

use askama::Template;
use axum::http::{HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};

use crate::http::access::share_links::SHARED;
use crate::http::layers::base_path::Address;
use crate::job::{Cursor, Time};

use super::assets;
use super::flash::{Done, Flash};
use super::viewer::Viewer;
use super::visit::Visit;
use crate::ui::rewind::bar::RewindBar;
use crate::ui::rewind::links::{shows_moments, with_moment};

/// The data of `templates/layout.html`, which every page extends.
pub struct Layout {
    /// The title of the page, without the product name.
    pub title: String,
    /// The part of the dashboard that the navigation highlights.
    pub section: Section,
    /// The position in the event log that the page reflects; its event stream continues from there. `None` when
    /// the page does not follow events.
    pub cursor: Option<Cursor>,
    /// The base path with a trailing slash; every URL on the page is relative to it.
    pub base: String,
    /// The URL of the page itself, for links to its own fragments: a bare `#main` would be relative to `base`.
    pub here: String,
    /// The URL of the folder with scripts and styles.
    pub assets: String,
    /// The time of the engine's clock, which the browser counts relative times from. `None` when the page shows
    /// no times.
    pub now: Option<Time>,
    /// The message about the last action.
    pub flash: Option<String>,
    /// The form that takes this action back, if there is one.
    pub undo: Option<UndoForm>,
    /// Whether the server waits to be resumed, which every page says except for the login.
    pub is_paused: bool,
    /// Who looks at the page, which decides what it offers.
    pub viewer: Viewer,
    /// Whether the page answers a form, so that a script opens it again with GET instead of reloading it, which would send
    /// the form again.
    pub is_answer: bool,
    /// The earlier moment that the page shows; `None` when it shows the present.
    pub past: Option<Box<RewindBar>>,
    /// The version shown in the footer.
    pub version: &'static str,
}

/// The form that takes the last action back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UndoForm {
    /// The URL to which it is sent, relative to the base.
    pub action: String,
    /// The page to which it leads back; `None` when it always leads to the same one.
    pub from: Option<String>,
}

/// The parts of the dashboard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// The overview.
    Home,
    /// Lists of jobs.
    Jobs,
    /// The list of discarded jobs.
    Discarded,
    /// One job.
    Job,
    /// The submit form.
    NewJob,
    /// The list of queues.
    Queues,
    /// One queue.
    Queue,
    /// The list of kinds.
    Kinds,
    /// One kind.
    Kind,
    /// The list of failure groups.
    Failures,
    /// One failure group.
    Failure,
    /// The list of schedules.
    Schedules,
    /// One schedule, or the form for a new one.
    Schedule,
    /// The attempts on a time axis.
    Timeline,
    /// The list of workers and running attempts.
    Workers,
    /// The page for operators.
    System,
    /// The list of users.
    Users,
    /// One user.
    User,
    /// The list of tokens.
    Tokens,
    /// The account of the person who is logged in.
    Account,
    /// The audit log.
    Audit,
    /// The login page, which has no navigation, because no other page can be opened yet.
    Login,
    /// The page for a screen that everybody can see.
    Wallboard,
    /// The page that finds things by their name.
    Find,
    /// The list of share links, or one of them.
    Links,
    /// A job that a share link shows, without navigation, because the link opens nothing else.
    SharedJob,
    /// A queue that a share link shows.
    SharedQueue,
    /// An error of a share link.
    SharedError,
    /// The reference of the API.
    Api,
    /// No part of the navigation, as for an error page.
    None,
}

impl Section {
    /// The name by which scripts recognize the page.
    pub fn as_str(self) -> &'static str {
        match self {
            Section::Home => "home",
            Section::Jobs | Section::Discarded => "jobs",
            Section::Job => "job",
            Section::NewJob => "new-job",
            Section::Queues => "queues",
            Section::Queue => "queue",
            Section::Kinds => "kinds",
            Section::Kind => "kind",
            Section::Failures => "failures",
            Section::Failure => "failure",
            Section::Schedules => "schedules",
            Section::Schedule => "schedule",
            Section::Timeline => "timeline",
            Section::Workers => "workers",
            Section::System => "system",
            Section::Users => "users",
            Section::User => "user",
            Section::Tokens => "tokens",
            Section::Account => "account",
            Section::Audit => "audit",
            Section::Login => "login",
            Section::Api => "api",
            Section::Find => "find",
            Section::Wallboard => "wallboard",
            Section::Links => "links",
            Section::SharedJob => "job",
            Section::SharedQueue => "shared-queue",
            Section::SharedError | Section::None => "none",
        }
    }
}

impl Layout {
    /// The layout of a page that follows events from `cursor` on and shows times relative to `now`.
    pub fn live(
        visit: &Visit,
        title: impl Into<String>,
        section: Section,
        cursor: Cursor,
        now: Time,
    ) -> Self {
        Layout { cursor: Some(cursor), ..Layout::still(visit, title, section, now) }
    }

    /// The layout of a page that does not follow events and shows times relative to `now`.
    pub fn still(visit: &Visit, title: impl Into<String>, section: Section, now: Time) -> Self {
        Layout { section, now: Some(now), ..Layout::error(visit, title) }.with_notices(visit)
    }

    /// The layout of a page of an earlier moment, which `now` is. Nothing on it acts, and it follows no events.
    pub fn past(
        visit: &Visit,
        title: impl Into<String>,
        section: Section,
        now: Time,
        bar: RewindBar,
    ) -> Self {
        let layout = Layout::still(visit, title, section, now);
        let viewer = layout.viewer.of_the_past();
        Layout { past: Some(Box::new(bar)), undo: None, is_paused: false, viewer, ..layout }
    }

    /// The layout of what a share link shows, which has no message about an action of somebody else.
    pub fn shared(
        visit: &Visit,
        title: impl Into<String>,
        section: Section,
        cursor: Cursor,
        now: Time,
    ) -> Self {
        Layout { section, cursor: Some(cursor), now: Some(now), ..Layout::error(visit, title) }
    }

    /// The layout of an error page, which neither follows events nor shows times.
    pub fn error(address: &Address, title: impl Into<String>) -> Self {
        Layout {
            title: title.into(),
            section: if is_shared(address) { Section::SharedError } else { Section::None },
            cursor: None,
            base: address.url(""),
            here: address.here(),
            assets: assets::folder(),
            now: None,
            flash: None,
            undo: None,
            is_paused: false,
            viewer: Viewer::Unknown,
            is_answer: !address.can_be_reloaded(),
            past: None,
            version: env!("CARGO_PKG_VERSION"),
        }
    }

    /// Adds what the page of this request says at its top, and who looks at it.
    pub fn with_notices(self, visit: &Visit) -> Self {
        let flash = visit.flash().map(Flash::message);
        let undo = visit
            .flash()
            .and_then(Flash::undo)
            .map(|undo| UndoForm { action: undo.action, from: undo.has_from.then(|| self.from()) });
        Layout { flash, undo, is_paused: visit.is_paused(), viewer: visit.viewer().clone(), ..self }
    }

    /// The page as the field `from` of a form names it.
    fn from(&self) -> String {
        match self.section {
            Section::Queue => "queue".to_owned(),
            Section::Schedule => "schedule".to_owned(),
            _ => self.here.strip_prefix(&self.base).unwrap_or_default().to_owned(),
        }
    }

    /// The same for a page with a secret, which is on no other page: nothing may reload it before the reader has copied the
    /// secret. So it follows no events, the end of the reader's session included.
    pub fn with_secret(self) -> Self {
        Layout { cursor: None, ..self }
    }

    /// Whether the page has no navigation, because its reader cannot open other pages.
    pub fn is_alone(&self) -> bool {
        self.is(Section::Login) || self.is_shared()
    }

    /// Whether the page is for the holder of a share link.
    pub fn is_shared(&self) -> bool {
        matches!(self.section, Section::SharedJob | Section::SharedQueue | Section::SharedError)
    }

    /// Whether the page shows an earlier moment.
    pub fn is_past(&self) -> bool {
        self.past.is_some()
    }

    /// The address from which the reader goes on to earlier moments of this page; `None` on pages that show only the
    /// present.
    pub fn rewind(&self) -> Option<String> {
        let can_rewind = !self.is(Section::None) && !self.is_past() && !self.is_answer;
        let page = self.here.strip_prefix(&self.base).filter(|_| can_rewind)?;
        let is_home = page.is_empty() || page.starts_with('?');
        let page = if is_home { format!("./{page}") } else { page.to_owned() };
        shows_moments(&page).then(|| with_moment(&page, "now"))
    }

    /// Whether a navigation entry is the current one.
    pub fn is(&self, section: Section) -> bool {
        self.section == section
    }
}

/// Whether a request is for what a share link opens.
pub fn is_shared(address: &Address) -> bool {
    format!("/{}", address.relative()).starts_with(SHARED)
}

/// The response to a form: a 303 redirect to another page. [`finish`](super::finish::finish) adds its `Location`.
#[derive(Debug, Clone)]
pub struct SeeOther {
    /// The URL of the page as templates write it.
    pub relative: String,
    /// The message that the page shows.
    pub flash: Option<Flash>,
}

/// Redirects to a page. `relative` is its URL as templates write it.
pub fn see_other(relative: &str) -> SeeOther {
    SeeOther { relative: relative.to_owned(), flash: None }
}

impl SeeOther {
    /// Makes the page say what was done.
    pub fn with(self, done: Done, name: impl Into<String>) -> SeeOther {
        SeeOther { flash: Some(Flash::new(done, name)), ..self }
    }
}

impl IntoResponse for SeeOther {
    fn into_response(self) -> Response {
        let mut response = StatusCode::SEE_OTHER.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// The response to a GET request for the URL of a form's action, such as `/queues/mail/pause`: a redirect to the page
/// above it. A browser that stays on such a URL after an error can reload it, and scripts can fetch it again.
pub async fn page_above(uri: Uri) -> SeeOther {
    let path = uri.path().trim_matches('/');
    see_other(path.rsplit_once('/').map_or("", |(above, _)| above))
}

/// `no-cache` makes the browser revalidate each time, while its back button stays instant.
const HEADERS: [(HeaderName, &str); 2] =
    [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CACHE_CONTROL, "no-cache")];

/// Renders a page as the response to a request.
pub fn page<T: Template>(status: StatusCode, template: &T) -> Response {
    rendered(status, template.render())
}

/// The response with the text of a page.
pub fn rendered(status: StatusCode, html: askama::Result<String>) -> Response {
    match html {
        Ok(html) => (status, HEADERS, html).into_response(),
        Err(error) => {
            tracing::error!(%error, "page could not be rendered");
            (StatusCode::INTERNAL_SERVER_ERROR, "the page could not be rendered").into_response()
        }
    }
}

/// Renders a page with a secret, which no cache may keep and the back button must not bring back.
pub fn private_page<T: Template>(status: StatusCode, template: &T) -> Response {
    let mut response = page(status, template);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
