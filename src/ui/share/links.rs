//! The pages of share links: all of them, and one with its address. They are created on the pages of jobs and queues.

use askama::Template;
use axum::extract::{Path, State as Has};
use axum::http::StatusCode;
use axum::response::Response;

use crate::access::{ShareLink, SharedPayload};
use crate::engine::Engine;
use crate::http::Problem;
use crate::http::access::job_scope::JobScope;
use crate::http::access::share_links::{self, LinkOrigin, LinkRequest};
use crate::http::access::{Acting, Caller};
use crate::http::api::extract::without_escape;
use crate::job::{JobId, LinkSubject, QueueName, Time, parse_duration};
use crate::ui::layout::flash::Done;
use crate::ui::layout::form_fields::{Accepts, Choices, NoFields, PostedForm};
use crate::ui::layout::page::{Layout, Section, SeeOther, page, see_other};
use crate::ui::layout::visit::Visit;
use crate::ui::parts::filters;
use crate::ui::parts::time_format::TimeText;

/// The most links on the page; the newest are shown.
const LIST: usize = 500;

#[derive(Template)]
#[template(path = "links.html")]
struct LinksPage {
    layout: Layout,
    links: Vec<ListedLink>,
    /// How many links there are.
    total: usize,
}

#[derive(Template)]
#[template(path = "link.html")]
struct LinkPage {
    layout: Layout,
    link: ListedLink,
    url: String,
}

/// A link as the pages show it.
struct ListedLink {
    id: String,
    /// What it shows, in words.
    name: String,
    /// The page of what it shows.
    page: String,
    is_job: bool,
    hides_payload: bool,
    created: TimeText,
    expires: TimeText,
    created_by: String,
}

impl ListedLink {
    fn of(link: &ShareLink, now: Time) -> ListedLink {
        let (name, page) = match &link.subject {
            LinkSubject::Job(id) => (format!("job {id}"), format!("jobs/{id}")),
            LinkSubject::Queue(queue) => {
                let segment = filters::escaped_segment(queue.as_str());
                (format!("queue {queue}"), format!("queues/{segment}"))
            }
        };
        ListedLink {
            id: link.id.to_string(),
            name,
            page,
            is_job: matches!(link.subject, LinkSubject::Job(_)),
            hides_payload: link.payload == SharedPayload::Hidden,
            created: TimeText::new(link.created_at, now),
            expires: TimeText::new(link.expires_at, now),
            created_by: link.created_by.as_ref().map_or_else(|| "–".into(), ToString::to_string),
        }
    }
}

/// The form that shares a job.
pub struct ShareJobForm;

impl Accepts for ShareJobForm {
    const ONCE: &'static [&'static str] = &["expires_in", "payload"];
    const REQUIRED: &'static [&'static str] = &["expires_in"];
    const CHOICES: &'static [Choices] = &[("payload", &["shown", "hidden"])];
}

/// The form that shares a queue.
pub struct ShareQueueForm;

impl Accepts for ShareQueueForm {
    const ONCE: &'static [&'static str] = &["expires_in"];
    const REQUIRED: &'static [&'static str] = Self::ONCE;
}

/// `GET /links`
pub async fn list(Has(engine): Has<Engine>, visit: Visit, Caller(caller): Caller) -> Response {
    let now = engine.now();
    let links = share_links::list(&engine, caller.as_ref());
    let view = LinksPage {
        layout: Layout::still(&visit, "Share links", Section::Links, now),
        total: links.len(),
        links: links.iter().take(LIST).map(|link| ListedLink::of(link, now)).collect(),
    };
    page(StatusCode::OK, &view)
}

/// `GET /links/{id}/revoke`: the link may be gone.
pub async fn to_list() -> SeeOther {
    see_other("links")
}

/// `GET /links/{id}`
pub async fn show(
    Has(engine): Has<Engine>,
    visit: Visit,
    Caller(caller): Caller,
    origin: LinkOrigin,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let now = engine.now();
    let link = share_links::managed(&engine, caller.as_ref(), &id)?;
    let row = ListedLink::of(&link, now);
    let title = format!("Link to {}", row.name);
    let table = engine.access_table().borrow().clone();
    let view = LinkPage {
        layout: Layout::still(&visit, title, Section::Links, now),
        url: origin.url(&table, &link),
        link: row,
    };
    Ok(page(StatusCode::OK, &view))
}

/// `POST /jobs/{id}/share`
pub async fn share_job(
    Acting(engine): Acting<Engine>,
    scope: JobScope,
    Path(id): Path<String>,
    form: PostedForm<ShareJobForm>,
) -> Result<SeeOther, Problem> {
    let id: JobId = id.parse().map_err(|_| Problem::no_such_job(&id))?;
    let payload = match form.value("payload") {
        "hidden" => SharedPayload::Hidden,
        _ => SharedPayload::Shown,
    };
    share(&engine, &scope, LinkSubject::Job(id), payload, form.value("expires_in")).await
}

/// `POST /queues/{name}/share`
pub async fn share_queue(
    Acting(engine): Acting<Engine>,
    scope: JobScope,
    Path(name): Path<String>,
    form: PostedForm<ShareQueueForm>,
) -> Result<SeeOther, Problem> {
    let queue = QueueName::stored(without_escape(&name))
        .map_err(|invalid| Problem::invalid_parameter("name", invalid.to_string()))?;
    let subject = LinkSubject::Queue(queue);
    share(&engine, &scope, subject, SharedPayload::Shown, form.value("expires_in")).await
}

async fn share(
    engine: &Engine,
    scope: &JobScope,
    subject: LinkSubject,
    payload: SharedPayload,
    expires_in: &str,
) -> Result<SeeOther, Problem> {
    let expires_in = parse_duration(expires_in)
        .map_err(|message| Problem::invalid_field("expires_in", message))?;
    let request = LinkRequest { subject, expires_in, payload };
    let link = share_links::create(engine, scope, request).await?;
    Ok(see_other(&format!("links/{}", link.id)).with(Done::LinkAdded, link.id.to_string()))
}

/// `POST /links/{id}/revoke`
pub async fn revoke(
    Acting(engine): Acting<Engine>,
    Caller(caller): Caller,
    Path(id): Path<String>,
    _: PostedForm<NoFields>,
) -> Result<SeeOther, Problem> {
    let link = share_links::revoke(&engine, caller.as_ref(), &id).await?;
    let name = ListedLink::of(&link, engine.now()).name;
    Ok(see_other("links").with(Done::LinkRevoked, name))
}
