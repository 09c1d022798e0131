//! Share links over HTTP: the credential in the path, the address of a link, and who may create, see and revoke which.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, header};

use super::access_watch::no_such_link;
use super::authenticator::Authenticator;
use super::job_scope::JobScope;
use super::principal::{Credential, Principal, forbidden};
use crate::access::{AccessApplied, AccessCommand, AccessTable, NewLink, ShareLink, SharedPayload};
use crate::engine::Engine;
use crate::http::Problem;
use crate::http::layers::base_path::Address;
use crate::job::{Actor, LinkId, LinkSubject};

/// The beginning of the path of everything that a share link opens.
pub const SHARED: &str = "/shared/";

/// The headers of what a share link opens: no browser or proxy stores it, no search engine lists it, and no other site
/// learns its address.
pub const HEADERS_OF_SHARED: [(HeaderName, HeaderValue); 3] = [
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (
        HeaderName::from_static("x-robots-tag"),
        HeaderValue::from_static("noindex, nofollow, noarchive"),
    ),
];

impl Authenticator {
    /// The principal of the share link in the path of a request. A link to a job that is gone opens nothing.
    ///
    /// # Errors
    /// 404 if it opens nothing, without the reason.
    pub async fn by_link(&self, parts: &Parts) -> Result<Principal, Problem> {
        let text = parts.uri.path().strip_prefix(SHARED).unwrap_or_default();
        let text = text.split('/').next().unwrap_or_default();
        let table = self.table();
        let link = table.live_link(text, self.engine.0.now()).ok_or_else(no_such_link)?.clone();
        if let LinkSubject::Job(id) = &link.subject {
            let (job, _) = self.engine.0.job(*id).await?;
            job.ok_or_else(no_such_link)?;
        }
        Ok(Principal {
            actor: Actor::Link(link.id.clone()),
            scope: link.scope(),
            credential: Credential::Link(link),
        })
    }
}

/// Where the addresses of share links begin: at the configured URL of the server, or else at the address of the request.
#[derive(Debug, Clone)]
pub struct LinkOrigin {
    origin: String,
    address: Address,
}

impl<S: Sync> FromRequestParts<S> for LinkOrigin {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let address = parts.extensions.get::<Address>().cloned().unwrap_or_default();
        let auth = parts.extensions.get::<Arc<Authenticator>>();
        let configured = auth.and_then(|auth| auth.base_url.as_deref());
        let origin = match configured {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => {
                let host = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok());
                format!("{}://{}", address.scheme().as_str(), host.unwrap_or("127.0.0.1:8080"))
            }
        };
        Ok(LinkOrigin { origin, address })
    }
}

impl LinkOrigin {
    /// The address of a link. It can be derived again at any time, because whoever may ask for it may also create another
    /// link to the same subject.
    pub fn url(&self, table: &AccessTable, link: &ShareLink) -> String {
        let path = table.link_text(link).map(|text| format!("shared/{text}"));
        format!("{}{}", self.origin, self.address.url(&path.unwrap_or_default()))
    }
}

/// A link that somebody asks for.
#[derive(Debug, Clone)]
pub struct LinkRequest {
    /// What it shows.
    pub subject: LinkSubject,
    /// After which time it expires.
    pub expires_in: Duration,
    /// Whether it shows the payload.
    pub payload: SharedPayload,
}

/// Creates a link to a job or a queue that exists and that the caller may use.
///
/// # Errors
/// 404 if there is none, 403 if it is outside of the caller's scope, 422 if the link would last too long or too short.
pub async fn create(
    engine: &Engine,
    scope: &JobScope,
    request: LinkRequest,
) -> Result<Arc<ShareLink>, Problem> {
    let LinkRequest { subject, expires_in, payload } = request;
    check_lifetime(engine, expires_in)
        .map_err(|message| Problem::invalid_field("expires_in", message))?;
    match &subject {
        LinkSubject::Job(id) => {
            let (job, _) = engine.job(*id).await?;
            let job = job.filter(|job| scope.allows(*id, &job.labels));
            job.ok_or_else(|| Problem::no_such_job(&id.to_string()))?;
        }
        LinkSubject::Queue(queue) => {
            if !scope.allows_queue(queue) {
                return Err(forbidden(format!(
                    "these credentials do not allow a link to the queue {queue}"
                )));
            }
            if !engine.stats().await?.queues.contains_key(queue) {
                return Err(Problem::no_such_queue(queue));
            }
        }
    }
    let expires_at = engine.now().after(expires_in);
    let new = NewLink { payload, ..NewLink::generate(subject, expires_at)? };
    match engine.access(AccessCommand::AddLink(new)).await? {
        AccessApplied::Link(link) => Ok(link),
        AccessApplied::User(_)
        | AccessApplied::Token(_)
        | AccessApplied::Session(_)
        | AccessApplied::Closed(_)
        | AccessApplied::Touched => Err(no_such_link()),
    }
}

/// Checks how long a link would last.
///
/// # Errors
/// Says what is accepted.
fn check_lifetime(engine: &Engine, lifetime: Duration) -> Result<(), String> {
    let longest = engine.config().access.max_link_lifetime;
    if (MIN_LIFETIME..=longest).contains(&lifetime) {
        return Ok(());
    }
    Err(format!("must be from 1 second to {} (access.max_link_lifetime)", in_words(longest)))
}

/// `30 days`, `90 minutes`.
pub fn in_words(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let units = [(86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")];
    let fits = |(length, _): &&(u64, &str)| seconds > 0 && seconds.is_multiple_of(*length);
    let (length, unit) = units.iter().find(fits).unwrap_or(&(1, "second"));
    let count = seconds / length;
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural}")
}

/// The shortest time after which a link expires.
const MIN_LIFETIME: Duration = Duration::from_secs(1);

/// Revokes a link that the caller may manage. What it has opened ends.
///
/// # Errors
/// 404 if there is none.
pub async fn revoke(
    engine: &Engine,
    caller: Option<&Principal>,
    id: &str,
) -> Result<Arc<ShareLink>, Problem> {
    let link = managed(engine, caller, id)?;
    engine.access(AccessCommand::RevokeLink(link.id.clone())).await?;
    Ok(link)
}

/// The link with an id, if it is live and the caller may manage it.
///
/// # Errors
/// 404 otherwise.
pub fn managed(
    engine: &Engine,
    caller: Option<&Principal>,
    id: &str,
) -> Result<Arc<ShareLink>, Problem> {
    let table = engine.access_table().borrow().clone();
    let link = LinkId::stored(id).ok().and_then(|id| table.link(&id).cloned());
    let is_managed =
        |link: &Arc<ShareLink>| !link.is_expired(engine.now()) && may_manage(caller, link, &table);
    let link = link.filter(is_managed);
    link.ok_or_else(no_such_link)
}

/// The live links that the caller may manage, the newest first.
pub fn list(engine: &Engine, caller: Option<&Principal>) -> Vec<Arc<ShareLink>> {
    let (table, now) = (engine.access_table().borrow().clone(), engine.now());
    let mut links: Vec<Arc<ShareLink>> = table
        .links()
        .filter(|link| !link.is_expired(now) && may_manage(caller, link, &table))
        .cloned()
        .collect();
    links.sort_by(|a, b| b.created_at.cmp(&a.created_at).then_with(|| a.id.cmp(&b.id)));
    links
}

/// Whether somebody who may act on jobs may see and revoke a link. Restricted credentials, which are those of tokens, have
/// only those that they have created.
fn may_manage(caller: Option<&Principal>, link: &ShareLink, table: &AccessTable) -> bool {
    let Some(caller) = caller.filter(|caller| caller.scope.is_restricted()) else { return true };
    let Actor::Token(name) = &caller.actor else { return false };
    // A revoked token may have had the same name: what is older than this one is not its own.
    let is_as_old = |link: &ShareLink| {
        table.token_named(name).is_some_and(|token| token.created_at <= link.created_at)
    };
    link.created_by.as_ref() == Some(&caller.actor) && is_as_old(link)
}
