//! The client: submits jobs to a Cortado server over the network, runs them, and follows its events.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use cortado::client::Client;
//! use serde_json::json;
//!
//! # async fn submit() -> Result<(), cortado::client::ClientError> {
//! let client = Client::new("http://127.0.0.1:8080")?.token("secret")?;
//! let payload = json!({"url": "https://example.com/1.png"});
//! let job = client.submit_kind("resize", &payload).queue("images").await?;
//! let job = client.wait(&job.id, Duration::from_secs(60)).await?;
//! println!("{} {:?}", job.state, job.result);
//! # Ok(())
//! # }
//! ```
//!
//! [`Worker`] runs jobs, and [`Client::subscribe`] follows the events. The feature `client` of this crate needs nothing
//! of the server: `cortado = { path = "…", default-features = false, features = ["client"] }`.

mod api_time;
mod backoff;
mod error;
mod events;
pub(crate) mod handler;
mod http;
mod job;
mod job_values;
mod kind;
mod list;
mod submit;
mod transport;
mod worker;

#[cfg(test)]
pub(crate) mod tests;

#[cfg(feature = "server")]
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

pub use api_time::ApiTime;
pub use error::{ClientError, ProblemField, ServerProblem};
pub use events::{EventFilter, EventTail, StreamedEvent, TailItem};
pub use handler::{
    CancelCause, Cancelled, Context, Decision, Discard, Handler, HandlerEnd, HandlerError,
    HandlerFn, HandlerOutput, IntoHandlerError, JobError, LogStream, Next, PayloadProblem,
    ResultJson, RetryAfter, Snooze, State,
};
#[cfg(feature = "server")]
pub(crate) use handler::{
    ContextAttempt, HandlerFuture, Layers, PendingHandler, RunHandler, States, Surroundings,
    pending,
};
pub use job::{Cancellation, JobFailure, JobInfo, JobProgress, NotYetRunning};
pub use kind::{JobKind, JobOptions};
pub use list::{JobFilter, JobPages, ListedJobs};
#[cfg(feature = "server")]
pub(crate) use submit::SubmissionBody;
pub use submit::{AttemptSender, DraftSender, JobDraft, PendingSubmission, Submitted};
#[cfg(feature = "server")]
pub(crate) use transport::{LocalAnswer, LocalServer, RawRequest};
pub use worker::{StopCause, Worker, WorkerEnd, WorkerProtocol};

use backoff::jittered;
use http::{ApiRequest, RepeatRule, ServerApi};
use transport::RequestRoute;

/// How long one request waits for a job; the server allows a minute (`http.max_wait`).
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// How much longer than the wait that was asked for a response may take.
const WAIT_MARGIN: Duration = Duration::from_secs(15);
/// The pause after an answer that came before its time, as from a server that is stopping.
const EARLY_PAUSE: Duration = Duration::from_millis(500);

/// A server. Cheap to clone; clones share their connections.
///
/// The server is elsewhere ([`Client::new`]), or in this process, where it needs no connection and no token: then its
/// `client` method returns the client. Both do and refuse the same. Requests are repeated with a backoff when that is safe.
#[derive(Debug, Clone)]
pub struct Client {
    api: ServerApi,
}

impl Client {
    /// Creates the client of the server at an address such as `http://127.0.0.1:8080`, with the base path if the server
    /// has one.
    ///
    /// # Errors
    /// The address is not valid, or the TLS library cannot be set up.
    pub fn new(address: impl AsRef<str>) -> Result<Client, ClientError> {
        Ok(Client { api: ServerApi::new(address.as_ref())? })
    }

    /// Creates the client of a server in this process.
    #[cfg(feature = "server")]
    pub(crate) fn in_process(server: Arc<dyn LocalServer>) -> Client {
        Client { api: ServerApi::by(RequestRoute::InProcess(server)) }
    }

    /// Creates a client without a server, for tests of handlers. Its requests fail with [`ClientError::NoServer`].
    pub(crate) fn nowhere() -> Client {
        Client { api: ServerApi::by(RequestRoute::Nowhere) }
    }

    /// Sends a token with every request.
    ///
    /// # Errors
    /// The token has characters that cannot be sent in a header.
    pub fn token(mut self, token: impl AsRef<str>) -> Result<Client, ClientError> {
        self.api.set_token(token.as_ref())?;
        Ok(self)
    }

    /// Sets how long a response may take; 30 seconds by default.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Client {
        self.api.set_timeout(timeout);
        self
    }

    /// Sets how often a request is repeated after a failure; 4 times by default.
    #[must_use]
    pub fn repeats(mut self, repeats: u32) -> Client {
        self.api.set_repeats(repeats);
        self
    }

    /// Prepares a job with the kind, the options and the unique key of its payload. Awaiting the draft submits it, as
    /// [`JobDraft::send`] does; before that, every option can be changed.
    pub fn submit<J: JobKind>(&self, job: &J) -> JobDraft<DraftSender<'_>> {
        JobDraft::of_kind(job, DraftSender(&self.api))
    }

    /// Prepares a job of a kind that has no type in this program, with any payload, which is written as JSON.
    pub fn submit_kind(
        &self,
        kind: impl Into<String>,
        payload: &(impl Serialize + ?Sized),
    ) -> JobDraft<DraftSender<'_>> {
        JobDraft::by(kind.into(), payload, DraftSender(&self.api))
    }

    /// Submits many jobs, all or none, and returns them in order when they are on disk.
    ///
    /// # Errors
    /// A payload cannot be written as JSON, or the server cannot be reached or refuses.
    pub async fn submit_many(
        &self,
        jobs: impl IntoIterator<Item = JobDraft>,
    ) -> Result<Vec<Submitted>, ClientError> {
        submit::submit_many(&self.api, jobs).await
    }

    /// Reads a job.
    ///
    /// # Errors
    /// The server cannot be reached, refuses, or has no such job.
    pub async fn get(&self, id: &str) -> Result<JobInfo, ClientError> {
        self.api.json(ApiRequest::get(job_path(id))).await
    }

    /// Waits until a job is final.
    ///
    /// # Errors
    /// [`ClientError::StillRunning`] if it is not final after `timeout`; the server cannot be reached, refuses, or has no
    /// such job.
    pub async fn wait(&self, id: &str, timeout: Duration) -> Result<JobInfo, ClientError> {
        let begin = Instant::now();
        loop {
            let asked_at = begin.elapsed();
            let wait = timeout.saturating_sub(asked_at).min(LONGEST_WAIT);
            let wait = wait.max(Duration::from_millis(1));
            let path = format!("{}?wait={}ms", job_path(id), submit::millis(wait));
            let timeout_of_request = Some(wait + WAIT_MARGIN);
            let request = ApiRequest { timeout: timeout_of_request, ..ApiRequest::get(path) };
            let job: JobInfo = self.api.json(request).await?;
            if job.is_final() {
                return Ok(job);
            }
            let elapsed = begin.elapsed();
            if elapsed >= timeout {
                return Err(ClientError::StillRunning(Box::new(job)));
            }
            if elapsed - asked_at < wait / 2 {
                tokio::time::sleep(jittered(EARLY_PAUSE).min(timeout - elapsed)).await;
            }
        }
    }

    /// Cancels a job: a waiting one at once, a running one as soon as its handler stops.
    ///
    /// # Errors
    /// The server cannot be reached or refuses, or the job is final already.
    pub async fn cancel(&self, id: &str) -> Result<Cancellation, ClientError> {
        let path = format!("{}/cancel", job_path(id));
        self.api.json(ApiRequest::post(path, None, RepeatRule::Unprocessed)).await
    }

    /// Makes a job available again: one that waits for its next attempt, or one that has ended.
    ///
    /// # Errors
    /// The server cannot be reached or refuses, or the job is running or available.
    pub async fn retry(&self, id: &str) -> Result<(), ClientError> {
        let path = format!("{}/retry", job_path(id));
        self.api.text(ApiRequest::post(path, None, RepeatRule::Unprocessed)).await.map(drop)
    }

    /// Deletes a job that is not running, with its log and its result.
    ///
    /// # Errors
    /// The server cannot be reached or refuses, or the job is running.
    pub async fn delete(&self, id: &str) -> Result<(), ClientError> {
        let post = ApiRequest::post(job_path(id), None, RepeatRule::Unprocessed);
        self.api.text(ApiRequest { method: reqwest::Method::DELETE, ..post }).await.map(drop)
    }

    /// Lists jobs, the newest first. The first page is read by [`JobPages::next_page`].
    pub fn jobs(&self, filter: JobFilter) -> JobPages {
        JobPages::new(self.api.clone(), filter)
    }

    /// Pauses a queue: none of its jobs starts. Those that are running continue.
    ///
    /// # Errors
    /// The server cannot be reached or refuses.
    pub async fn pause_queue(&self, queue: &str) -> Result<(), ClientError> {
        let path = format!("/api/v1/queues/{}/pause", segment(queue));
        self.api.text(ApiRequest::post(path, None, RepeatRule::Always)).await.map(drop)
    }

    /// Resumes a queue.
    ///
    /// # Errors
    /// The server cannot be reached or refuses.
    pub async fn resume_queue(&self, queue: &str) -> Result<(), ClientError> {
        let path = format!("/api/v1/queues/{}/resume", segment(queue));
        self.api.text(ApiRequest::post(path, None, RepeatRule::Always)).await.map(drop)
    }

    /// Follows the events that pass a filter. It begins when [`EventTail::next`] is first called; [`EventTail::after`]
    /// begins at a cursor.
    pub fn subscribe(&self, filter: EventFilter) -> EventTail {
        EventTail::new(self.api.clone(), filter)
    }
}

/// The path of a job.
fn job_path(id: &str) -> String {
    format!("/api/v1/jobs/{}", segment(id))
}

/// A name as one segment of a path, whatever it contains.
fn segment(name: &str) -> String {
    let escaped: String = url::form_urlencoded::byte_serialize(name.as_bytes()).collect();
    escaped.replace('+', "%20")
}
