//! Watches the credentials of a response that stays open, such as an event stream or a WebSocket. It ends when they are
//! revoked, expire, or allow something else than when it began.

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequestParts, MatchedPath};
use axum::http::request::Parts;
use axum::http::{Extensions, Method, StatusCode};
use tokio::sync::watch;
use tokio::time::sleep;

use super::authenticator::Authenticator;
use super::messages::{SocketMessage, WorkerMessageName};
use super::need::Need;
use super::principal::Principal;
use super::routes::{self, Listed, RouteRule};
use crate::access::AccessTable;
use crate::http::Problem;

/// The reason why an open response ends, for its reader.
pub const ENDED: &str = "access was revoked, has expired or has changed; log in again";

/// The same for the reader of a share link.
pub const LINK_ENDED: &str = "this share link does not exist, has expired or was revoked";

/// How often the clock is looked at, so that expired credentials end what they opened.
const CLOCK_INTERVAL: Duration = Duration::from_millis(500);

/// Watches the credentials of one open response. The default watches nothing.
#[derive(Default)]
pub struct AccessWatch(Option<Box<Watched>>);

struct Watched {
    auth: Arc<Authenticator>,
    principal: Option<Principal>,
    table: watch::Receiver<Arc<AccessTable>>,
}

impl AccessWatch {
    /// Watches the credentials of a request. A route that everybody may use needs none, and a router without the layers, in
    /// a server of its own, watches nothing.
    pub fn of(method: &Method, extensions: &Extensions) -> AccessWatch {
        let Some(auth) = extensions.get::<Arc<Authenticator>>().cloned() else {
            return AccessWatch(None);
        };
        let path = extensions.get::<MatchedPath>();
        let listed = path.map(|path| routes::find(method, path.as_str()));
        if let Some(Listed::Rule(RouteRule { need: Need::Everybody, .. })) = listed {
            return AccessWatch(None);
        }
        let principal = extensions.get::<Principal>().cloned();
        let table = auth.table_receiver();
        AccessWatch(Some(Box::new(Watched { auth, principal, table })))
    }

    /// Checks that the credentials still allow exactly what they allowed when the request came. A request that has waited for
    /// something checks this before it changes anything.
    ///
    /// # Errors
    /// 401 if they do not.
    pub fn check(&self) -> Result<(), Problem> {
        if self.has_ended() { Err(self.problem()) } else { Ok(()) }
    }

    /// Whether the response must end.
    pub fn has_ended(&self) -> bool {
        self.0.as_ref().is_some_and(|watched| !watched.is_valid())
    }

    /// Resolves when the response must end.
    pub async fn ended(&mut self) {
        let Some(watched) = &mut self.0 else { return pending().await };
        while watched.is_valid() {
            tokio::select! {
                changed = watched.table.changed() => if changed.is_err() {
                    return pending().await; // the store is closed, so the response ends for another reason
                },
                () = sleep(CLOCK_INTERVAL) => {}
            }
        }
    }

    /// Resolves when the credentials are revoked or changed, or have expired. Between changes it wakes only when they expire,
    /// so thousands of idle connections cost nothing. The caller looks at [`AccessWatch::has_ended`] from time to time,
    /// because the clock may be set.
    pub async fn revoked(&mut self) {
        let Some(watched) = &mut self.0 else { return pending().await };
        while watched.is_valid() {
            let expires_in = watched.auth.expires_in(watched.principal.as_ref());
            tokio::select! {
                changed = watched.table.changed() => if changed.is_err() {
                    return pending().await; // the store is closed, so the connection ends for another reason
                },
                () = after(expires_in) => {}
            }
        }
    }

    /// Checks whether a worker may send a message over its WebSocket.
    ///
    /// # Errors
    /// 401 when the credentials have ended, and 403, which the WebSocket reports as an `error` message.
    pub fn check_worker_message(&self, message: WorkerMessageName) -> Result<(), Problem> {
        self.check()?;
        let (need, restricted) = message.rule();
        let principal = self.0.as_ref().and_then(|watched| watched.principal.as_ref());
        principal.map_or(Ok(()), |principal| principal.check(need, restricted))
    }

    /// Checks whether a message may be sent over the WebSocket.
    ///
    /// # Errors
    /// 401 when the credentials have ended (404 for a share link), and 403, which the WebSocket reports as an `error` message.
    pub fn check_message(&self, message: SocketMessage) -> Result<(), Problem> {
        self.check()?;
        let rule = message.rule();
        let principal = self.0.as_ref().and_then(|watched| watched.principal.as_ref());
        principal.map_or(Ok(()), |principal| principal.check(rule.need, rule.restricted))
    }

    /// Whether the credential is a share link.
    pub fn is_of_link(&self) -> bool {
        let principal = self.0.as_ref().and_then(|watched| watched.principal.as_ref());
        principal.is_some_and(|principal| principal.link().is_some())
    }

    /// The reason why the response ends, for its reader.
    pub fn reason(&self) -> &'static str {
        if self.is_of_link() { LINK_ENDED } else { ENDED }
    }

    /// The answer to a request that waited while its credentials were revoked.
    pub fn problem(&self) -> Problem {
        if self.is_of_link() {
            return no_such_link();
        }
        Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", ENDED)
    }
}

/// Resolves after a time; never without one.
async fn after(time: Option<Duration>) {
    match time {
        // The clocks may differ by a little, so it is not asked again at once.
        Some(time) => sleep(time.max(Duration::from_millis(5))).await,
        None => pending().await,
    }
}

/// The problem of a share link that opens nothing. It does not say why.
pub fn no_such_link() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "no_such_link", LINK_ENDED)
}

impl Watched {
    fn is_valid(&self) -> bool {
        self.auth.is_still(self.principal.as_ref())
    }
}

impl<S: Sync> FromRequestParts<S> for AccessWatch {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(AccessWatch::of(&parts.method, &parts.extensions))
    }
}
