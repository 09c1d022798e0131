//! The earlier moment that a request asks for. The extractor finds it in the log before the page is rendered, redirects to
//! an address that means the same tomorrow, and answers a moment that cannot be shown.

use std::time::Duration;

use askama::Template;
use axum::extract::{FromRequestParts, RawQuery};
use axum::http::{StatusCode, request};
use axum::response::{IntoResponse, Response};
use tokio::sync::OwnedSemaphorePermit;

use crate::engine::{Engine, Past, Reach, RewindError, When};
use crate::http::access::job_scope::JobScope;
use crate::job::Time;
use crate::job::shorten::{MAX_MESSAGE, MAX_NAME, shorten};

use super::bar::{BarPage, RewindBar};
use super::links::{keep_moment, with_moment, without_moment};
use super::moment_text::{ACCEPTED, MomentText, time_in_address};
use crate::ui::layout::error::{UiError, sentence};
use crate::ui::layout::page::{Layout, Section, page, rendered, see_other};
use crate::ui::layout::visit::Visit;
use crate::ui::parts::time_format::TimeText;

/// The longest query that links to other moments repeat, in bytes.
const MAX_QUERY: usize = 2_000;

/// What a request for a page asks for.
pub struct AskedMoment {
    /// The earlier moment; `None` for the page as it is now.
    pub past: Option<PastView>,
    /// The other parameters.
    pub query: String,
}

/// An earlier moment that a page shows.
pub struct PastView {
    /// The moment.
    pub past: Past,
    bar: RewindBar,
    /// Held until the page is rendered.
    _permit: OwnedSemaphorePermit,
}

/// The page about a moment that cannot be shown, which has a form that chooses another.
#[derive(Template)]
#[template(path = "rewind_refused.html")]
struct RefusedMoment {
    layout: Layout,
    message: String,
    accepted: &'static str,
    /// The oldest moment, if the log has any event.
    oldest: Option<TimeText>,
    /// What was asked for.
    typed: String,
    action: String,
    fields: Vec<(String, String)>,
    present: String,
}

/// The page about something that did not exist at a moment.
#[derive(Template)]
#[template(path = "rewind_missing.html")]
struct MissingThen {
    layout: Layout,
    title: &'static str,
    message: &'static str,
}

impl FromRequestParts<Engine> for AskedMoment {
    type Rejection = Response;

    async fn from_request_parts(
        parts: &mut request::Parts,
        engine: &Engine,
    ) -> Result<Self, Response> {
        let Ok(visit) = Visit::from_request_parts(parts, engine).await;
        let Ok(RawQuery(query)) = RawQuery::from_request_parts(parts, engine).await;
        let query = query.unwrap_or_default();
        let pairs = url::form_urlencoded::parse(query.as_bytes());
        let asked = pairs.filter(|(name, value)| name == "at" && !value.trim().is_empty()).last();
        let asked = asked.map(|(_, value)| value.trim().to_owned());
        let query = without_moment(&query);
        let past = match asked {
            Some(asked) => Some(PastView::find(engine, &visit, &query, &asked).await?),
            None => None,
        };
        Ok(AskedMoment { past, query })
    }
}

impl PastView {
    /// Finds the moment, or answers the request without it.
    async fn find(
        engine: &Engine,
        visit: &Visit,
        query: &str,
        asked: &str,
    ) -> Result<PastView, Response> {
        let path = visit.relative().split('?').next().unwrap_or_default();
        let path = if path.is_empty() { "./" } else { path };
        let page = BarPage { path, query: if query.len() > MAX_QUERY { "" } else { query } };
        let failed = |error: RewindError| UiError::from(error).into_response();
        let now = engine.now();
        let permit = engine.rewind_permit().await.map_err(failed)?;
        let reach = engine.reach().await.map_err(failed)?;
        let refuse = |message: String| refused(visit, &page, asked, message, reach, now);
        let moment = MomentText::parse(asked, now).map_err(&refuse)?;
        let Some(reach) = reach else {
            return Err(refuse("the event log has no events yet".to_owned()));
        };
        let (when, at) = match moment {
            MomentText::Now => {
                let cursor = reach.newest.cursor;
                (When::Cursor(cursor), cursor.to_string())
            }
            MomentText::Cursor(cursor) => (When::Cursor(cursor), cursor.to_string()),
            MomentText::Time(at) => {
                // A form sends whole seconds, and the log may begin within the second that it shows.
                let is_just_before = reach.oldest.at.since(at) < Duration::from_secs(1);
                let at = if is_just_before { at.max(reach.oldest.at) } else { at };
                (When::Time(at), time_in_address(at))
            }
        };
        let (past, event) = match engine.past(&reach, when).await {
            Ok(found) => found,
            Err(error @ RewindError::Store(_)) => return Err(failed(error)),
            Err(error) => return Err(refuse(error.to_string())),
        };
        if at != asked {
            let address = with_moment(&page.address(), &at);
            return Err(see_other(address.trim_start_matches("./")).into_response());
        }
        let event = JobScope::of(visit.principal()).shows(&event).then_some(&event);
        let bar = RewindBar::of(&page, &at, &past, reach, event, now);
        Ok(PastView { past, bar, _permit: permit })
    }

    /// The time that the page shows as its present.
    pub fn now(&self) -> Time {
        self.past.at
    }

    /// The page about something that did not exist at the moment.
    pub fn missing(
        self,
        visit: &Visit,
        section: Section,
        title: &'static str,
        message: &'static str,
    ) -> Response {
        let status = StatusCode::NOT_FOUND;
        self.page(status, visit, title, section, |layout| MissingThen { layout, title, message })
    }

    /// Redirects to another page of the moment.
    pub fn see_other(&self, address: &str) -> Response {
        see_other(&with_moment(address, &self.bar.at)).into_response()
    }

    /// Renders a page of the moment. `view` gets its layout.
    pub fn page<T: Template>(
        self,
        status: StatusCode,
        visit: &Visit,
        title: &str,
        section: Section,
        view: impl FnOnce(Layout) -> T,
    ) -> Response {
        let title = format!("{title}, as of {} UTC", self.bar.when.to_the_second());
        let at = self.bar.at.clone();
        let layout = Layout::past(visit, title, section, self.past.at, self.bar);
        let html = view(layout).render().map(|html| keep_moment(&html, &at));
        rendered(status, html)
    }
}

fn refused(
    visit: &Visit,
    at: &BarPage<'_>,
    asked: &str,
    message: String,
    reach: Option<Reach>,
    now: Time,
) -> Response {
    let view = RefusedMoment {
        layout: Layout::still(visit, "This moment cannot be shown", Section::None, now),
        message: sentence(&shorten(&message, MAX_MESSAGE)),
        accepted: ACCEPTED,
        oldest: reach.map(|reach| TimeText::new(reach.oldest.at, now)),
        typed: shorten(asked, MAX_NAME),
        action: at.path.to_owned(),
        fields: at.fields(),
        present: at.address(),
    };
    page(StatusCode::BAD_REQUEST, &view)
}
