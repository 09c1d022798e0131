//! The message about the last action that the next page shows once. A short-lived cookie carries it over the redirect
//! that answers a form, so that it works without JavaScript.

use axum::http::{HeaderMap, HeaderValue, Method, header};
use url::form_urlencoded;

use crate::http::layers::base_path::Address;
use crate::http::layers::cookies::cookies;
use crate::job::shorten::shorten;
use crate::ui::parts::filters::escaped_segment;

/// The cookie that holds the message until a page has shown it.
const COOKIE: &str = "cortado-flash";
/// The seconds after which a message that no page has shown is dropped.
const MAX_AGE_S: u32 = 60;
/// The longest name in a message, in bytes.
const MAX_NAME: usize = 200;

/// What a form has done. The cookie holds only this code and a name, so that a forged cookie cannot show other text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// A finished job was retried.
    JobRetried,
    /// A job that was waiting for its time was made available.
    JobMadeDue,
    /// A waiting job was cancelled.
    JobCancelled,
    /// The cancellation of a running job was requested.
    JobAskedToCancel,
    /// A job was deleted.
    JobDeleted,
    /// A queue was paused.
    QueuePaused,
    /// A queue was resumed.
    QueueResumed,
    /// The concurrency or the rate limit of a queue was changed.
    QueueLimitChanged,
    /// A schedule was created or changed.
    ScheduleSaved,
    /// A schedule submitted a job by hand.
    ScheduleRun,
    /// A schedule was paused.
    SchedulePaused,
    /// A schedule was resumed.
    ScheduleResumed,
    /// A schedule was deleted.
    ScheduleDeleted,
    /// A bulk run was asked to stop.
    BulkStopped,
    /// A server that was started paused was resumed.
    ServerResumed,
    /// A user was added.
    UserAdded,
    /// A user got another role.
    UserRoleSet,
    /// A user was disabled.
    UserDisabled,
    /// A user was enabled.
    UserEnabled,
    /// A user was deleted.
    UserDeleted,
    /// The password of a user was set.
    UserPasswordSet,
    /// A token was revoked.
    TokenRevoked,
    /// A session was revoked.
    SessionRevoked,
    /// Several sessions of one person were revoked.
    SessionsRevoked,
    /// A share link was created.
    LinkAdded,
    /// A share link was revoked.
    LinkRevoked,
    /// A worker was told to claim no more jobs.
    WorkerQuieted,
    /// A worker was told to exit.
    WorkerStopped,
    /// A worker was told to claim jobs again.
    WorkerResumed,
}

/// A message about an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flash {
    done: Done,
    /// The name of what the action changed, such as a job, a queue or a user.
    name: String,
}

impl Done {
    const ALL: [Done; 29] = [
        Done::JobRetried,
        Done::JobMadeDue,
        Done::JobCancelled,
        Done::JobAskedToCancel,
        Done::JobDeleted,
        Done::QueuePaused,
        Done::QueueResumed,
        Done::QueueLimitChanged,
        Done::ScheduleSaved,
        Done::ScheduleRun,
        Done::SchedulePaused,
        Done::ScheduleResumed,
        Done::ScheduleDeleted,
        Done::BulkStopped,
        Done::ServerResumed,
        Done::UserAdded,
        Done::UserRoleSet,
        Done::UserDisabled,
        Done::UserEnabled,
        Done::UserDeleted,
        Done::UserPasswordSet,
        Done::TokenRevoked,
        Done::SessionRevoked,
        Done::SessionsRevoked,
        Done::LinkAdded,
        Done::LinkRevoked,
        Done::WorkerQuieted,
        Done::WorkerStopped,
        Done::WorkerResumed,
    ];

    /// The name of the action in the cookie.
    fn code(self) -> &'static str {
        match self {
            Done::JobRetried => "job-retried",
            Done::JobMadeDue => "job-made-due",
            Done::JobCancelled => "job-cancelled",
            Done::JobAskedToCancel => "job-asked-to-cancel",
            Done::JobDeleted => "job-deleted",
            Done::QueuePaused => "queue-paused",
            Done::QueueResumed => "queue-resumed",
            Done::QueueLimitChanged => "queue-limit-changed",
            Done::ScheduleSaved => "schedule-saved",
            Done::ScheduleRun => "schedule-run",
            Done::SchedulePaused => "schedule-paused",
            Done::ScheduleResumed => "schedule-resumed",
            Done::ScheduleDeleted => "schedule-deleted",
            Done::BulkStopped => "bulk-stopped",
            Done::ServerResumed => "server-resumed",
            Done::UserAdded => "user-added",
            Done::UserRoleSet => "user-role-set",
            Done::UserDisabled => "user-disabled",
            Done::UserEnabled => "user-enabled",
            Done::UserDeleted => "user-deleted",
            Done::UserPasswordSet => "user-password-set",
            Done::TokenRevoked => "token-revoked",
            Done::SessionRevoked => "session-revoked",
            Done::SessionsRevoked => "sessions-revoked",
            Done::LinkAdded => "link-added",
            Done::LinkRevoked => "link-revoked",
            Done::WorkerQuieted => "worker-quieted",
            Done::WorkerStopped => "worker-stopped",
            Done::WorkerResumed => "worker-resumed",
        }
    }

    /// The message for people.
    fn message(self, name: &str) -> String {
        match self {
            Done::JobRetried => format!("Job {name} was retried. It is available again."),
            Done::JobMadeDue => format!("Job {name} is due now and starts when a slot is free."),
            Done::JobCancelled => format!("Job {name} was cancelled."),
            Done::JobAskedToCancel => format!("Cancellation of job {name} was requested."),
            Done::JobDeleted => format!("Job {name} was deleted with its log and history."),
            Done::QueuePaused => format!("Queue {name} was paused. Running jobs will finish."),
            Done::QueueResumed => format!("Queue {name} was resumed."),
            Done::QueueLimitChanged => format!("The limits of queue {name} were changed."),
            Done::ScheduleSaved => format!("Schedule {name} was saved."),
            Done::ScheduleRun => format!("Schedule {name} submitted a job."),
            Done::SchedulePaused => format!("Schedule {name} was paused."),
            Done::ScheduleResumed => format!("Schedule {name} was resumed."),
            Done::ScheduleDeleted => format!("Schedule {name} was deleted. Its jobs were kept."),
            Done::BulkStopped => "The bulk run is stopping.".into(),
            Done::ServerResumed => "The server was resumed. Jobs and schedules start now.".into(),
            Done::UserAdded => format!("User {name} was added."),
            Done::UserRoleSet => format!("The role of user {name} was changed."),
            Done::UserDisabled => {
                format!("User {name} was disabled. All sessions of this user have ended.")
            }
            Done::UserEnabled => format!("User {name} was enabled and can log in again."),
            Done::UserDeleted => format!("User {name} was deleted."),
            Done::UserPasswordSet => format!(
                "The password of user {name} was set. All earlier sessions of this user have ended."
            ),
            Done::TokenRevoked => format!("Token {name} was revoked."),
            Done::SessionRevoked => format!("Session {name} was revoked."),
            Done::SessionsRevoked => format!("Sessions of {name} were revoked."),
            Done::LinkAdded => "The link was created. Copy its address below.".into(),
            Done::LinkRevoked => format!("The link to {name} was revoked."),
            Done::WorkerQuieted => {
                format!(
                    "Worker {name} was quieted. It finishes what it runs and gets no more jobs."
                )
            }
            Done::WorkerStopped => {
                format!("Worker {name} was told to stop. It finishes what it runs and exits.")
            }
            Done::WorkerResumed => format!("Worker {name} was resumed. It gets jobs again."),
        }
    }
}

/// What takes an action back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undo {
    /// The URL of the form, relative to the base.
    pub action: String,
    /// Whether the form accepts the page to lead back to.
    pub has_from: bool,
}

impl Flash {
    /// A message about an action on the thing of this name.
    pub fn new(done: Done, name: impl Into<String>) -> Flash {
        Flash { done, name: name.into() }
    }

    /// The `Set-Cookie` header that carries the message to the next page.
    pub fn cookie(&self, address: &Address) -> Option<HeaderValue> {
        let name: String = form_urlencoded::byte_serialize(self.name.as_bytes()).collect();
        cookie(&format!("{}.{name}", self.done.code()), MAX_AGE_S, address)
    }

    /// The message of a request; `None` when it has none, or when its response is not a page that a person sees next.
    pub fn of(method: &Method, headers: &HeaderMap) -> Option<Flash> {
        if method != Method::GET || !is_navigation(headers) {
            return None;
        }
        let (_, value) = cookies(headers).find(|(name, _)| *name == COOKIE)?;
        let (code, name) = value.split_once('.')?;
        let done = Done::ALL.into_iter().find(|done| done.code() == code)?;
        let (name, _) = form_urlencoded::parse(name.as_bytes()).next()?;
        Some(Flash { done, name: shorten(&name, MAX_NAME) })
    }

    /// What takes the action back; `None` when nothing does, as for a job that has already been started again.
    pub fn undo(&self) -> Option<Undo> {
        let (before, after, has_from) = match self.done {
            Done::QueuePaused => ("queues", "resume", true),
            Done::QueueResumed => ("queues", "pause", true),
            Done::SchedulePaused => ("schedules/of", "resume", true),
            Done::ScheduleResumed => ("schedules/of", "pause", true),
            Done::WorkerQuieted => ("workers", "resume", true),
            Done::WorkerResumed => ("workers", "quiet", true),
            Done::UserDisabled => ("users", "enable", false),
            Done::UserEnabled => ("users", "disable", false),
            Done::JobRetried
            | Done::JobMadeDue
            | Done::JobCancelled
            | Done::JobAskedToCancel
            | Done::JobDeleted
            | Done::QueueLimitChanged
            | Done::ScheduleSaved
            | Done::ScheduleRun
            | Done::ScheduleDeleted
            | Done::BulkStopped
            | Done::ServerResumed
            | Done::UserAdded
            | Done::UserRoleSet
            | Done::UserDeleted
            | Done::UserPasswordSet
            | Done::TokenRevoked
            | Done::SessionRevoked
            | Done::SessionsRevoked
            | Done::LinkAdded
            | Done::LinkRevoked
            | Done::WorkerStopped => return None,
        };
        // A name that long was shortened, so it names something else.
        if self.name.len() >= MAX_NAME {
            return None;
        }
        let action = format!("{before}/{}/{after}", escaped_segment(&self.name));
        Some(Undo { action, has_from })
    }

    /// The message for people.
    pub fn message(&self) -> String {
        self.done.message(&self.name)
    }
}

/// The `Set-Cookie` header that removes the message, because a page has shown it.
pub fn removal(address: &Address) -> Option<HeaderValue> {
    cookie("", 0, address)
}

fn cookie(value: &str, max_age: u32, address: &Address) -> Option<HeaderValue> {
    let path = address.url("");
    let text =
        format!("{COOKIE}={value}; Path={path}; Max-Age={max_age}; HttpOnly; SameSite=Strict");
    HeaderValue::try_from(text).ok()
}

/// Whether a person sees the response as a page. A script that updates an open page must not take the message away
/// from the page that follows the form.
fn is_navigation(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    match text("sec-fetch-mode") {
        Some(mode) => mode == "navigate",
        // Browsers send that header only over HTTPS and to the loopback interface. Scripts accept only HTML.
        None => text(header::ACCEPT.as_str()) != Some("text/html"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(flash: &Flash, more: &[(&'static str, &str)]) -> HeaderMap {
        let cookie = flash.cookie(&Address::default()).unwrap();
        let value = cookie.to_str().unwrap().split(';').next().unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, format!("a=b; {value}; c=d").parse().unwrap());
        for (name, value) in more {
            headers.insert(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn every_message_survives_its_cookie() {
        for done in Done::ALL {
            let flash = Flash::new(done, "a=b; \"ü\" <i>");
            assert_eq!(Flash::of(&Method::GET, &request(&flash, &[])), Some(flash));
        }
    }

    #[test]
    fn only_a_page_that_a_person_opens_takes_the_message() {
        let flash = Flash::new(Done::JobDeleted, "x");
        let taken = |method: &Method, more: &[(&'static str, &str)]| {
            Flash::of(method, &request(&flash, more)).is_some()
        };
        let accept = "text/html,application/xhtml+xml";
        assert!(taken(&Method::GET, &[("sec-fetch-mode", "navigate"), ("accept", accept)]));
        assert!(taken(&Method::GET, &[("accept", accept)]));
        assert!(!taken(&Method::POST, &[("sec-fetch-mode", "navigate")]));
        assert!(!taken(&Method::GET, &[("sec-fetch-mode", "cors")]));
        assert!(!taken(&Method::GET, &[("accept", "text/html")]));
    }

    #[test]
    fn an_action_that_can_be_taken_back_names_the_form_that_does_it() {
        let undo = |done, name: &str| Flash::new(done, name).undo();
        let form = |action: &str, has_from| Some(Undo { action: action.to_owned(), has_from });
        assert_eq!(undo(Done::QueuePaused, "mail"), form("queues/mail/resume", true));
        assert_eq!(undo(Done::QueueResumed, ".."), form("queues/%7E../pause", true));
        assert_eq!(undo(Done::UserDisabled, "a b/c"), form("users/a%20b%2Fc/enable", false));
        assert_eq!(undo(Done::JobDeleted, "x"), None);
        assert_eq!(undo(Done::QueuePaused, &"x".repeat(MAX_NAME)), None);
    }

    #[test]
    fn a_forged_cookie_shows_nothing() {
        for forged in ["", "x", "job-deleted", "unknown.name", "job-deleted."] {
            let mut headers = HeaderMap::new();
            headers.insert(header::COOKIE, format!("{COOKIE}={forged}").parse().unwrap());
            assert_eq!(Flash::of(&Method::GET, &headers), None, "{forged:?}");
        }
    }
}
