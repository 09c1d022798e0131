//! Tests of handlers: contexts without a server, and runs of handlers whose end, log and progress a test can look at.
//!
//! ```
//! use cortado::testing;
//! use cortado::{Context, Discard};
//!
//! async fn resize(context: Context, width: u32) -> Result<u32, Discard> {
//!     context.log(format!("resizing to {width}"));
//!     if width == 0 { Err(Discard::new("an image without pixels")) } else { Ok(width * 2) }
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let attempt = testing::run(resize, &640).await;
//! assert_eq!(attempt.result::<u32>(), 1280);
//! assert_eq!(attempt.log(), ["resizing to 640"]);
//! assert_eq!(testing::run(resize, &0).await.error(), Some("an image without pixels"));
//! # });
//! ```

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use super::context::{CancelCause, Context, ContextAttempt, LogStream};
use super::end::HandlerEnd;
use super::function::HandlerFn;
use super::middleware::{Layers, Next};
use super::state::{States, Surroundings};
use crate::client::{Client, JobProgress};

/// Runs a handler with a payload, in the first attempt of a job.
///
/// # Panics
/// The payload cannot be written as JSON, or the handler panics or needs a state: see [`Run`].
pub async fn run<M, H: HandlerFn<M>>(
    handler: H,
    payload: &(impl Serialize + ?Sized),
) -> TestedAttempt {
    Run::new(handler).payload(payload).await
}

/// A run of a handler in a test.
///
/// ```
/// # use cortado::{Context, HandlerError, State};
/// # #[derive(Clone)]
/// # struct Pool;
/// # async fn resize(context: Context, width: u32, State(_): State<Pool>) -> Result<u32, HandlerError> {
/// #     Ok(width * context.attempt())
/// # }
/// use cortado::testing::Run;
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let attempt = Run::new(resize).state(Pool).attempt(3).payload(&640).await;
/// assert_eq!(attempt.result::<u32>(), 1920);
/// # });
/// ```
#[must_use = "a run begins with `payload`"]
pub struct Run<H> {
    handler: H,
    job: TestJob,
    layers: Layers,
}

/// A job for the contexts of tests.
#[derive(Debug)]
pub struct TestJob {
    fields: JobFields,
    states: States,
    client: Option<Client>,
    cancel: CancellationToken,
    cause: Arc<OnceLock<CancelCause>>,
}

#[derive(Debug, Clone)]
struct JobFields {
    id: String,
    kind: String,
    queue: String,
    attempt: u32,
    max_attempts: u32,
    timeout: Option<Duration>,
    priority: i32,
    tags: Vec<String>,
    enqueued_at: String,
}

/// Cancels a run from elsewhere in a test.
#[derive(Debug, Clone)]
pub struct Cancel {
    token: CancellationToken,
    cause: Arc<OnceLock<CancelCause>>,
}

impl Cancel {
    /// Tells the handler to stop. Only the first cause counts.
    pub fn cancel(&self, cause: CancelCause) {
        // A second cause changes nothing.
        let _ = self.cause.set(cause);
        self.token.cancel();
    }
}

impl Default for TestJob {
    fn default() -> TestJob {
        TestJob {
            fields: JobFields {
                id: "019a0000-0000-7000-8000-000000000001".to_owned(),
                kind: "test".to_owned(),
                queue: "default".to_owned(),
                attempt: 1,
                max_attempts: 20,
                timeout: None,
                priority: 0,
                tags: Vec::new(),
                enqueued_at: "2026-11-23T08:00:00.000Z".to_owned(),
            },
            states: States::default(),
            client: None,
            cancel: CancellationToken::new(),
            cause: Arc::default(),
        }
    }
}

macro_rules! setters_of_the_job {
    ($job:ident => $fields:expr) => {
        /// Sets the job's id.
        pub fn id(mut self, id: impl Into<String>) -> Self {
            let $job = &mut self;
            $fields.fields.id = id.into();
            self
        }

        /// Sets the job's kind.
        pub fn kind(mut self, kind: impl Into<String>) -> Self {
            let $job = &mut self;
            $fields.fields.kind = kind.into();
            self
        }

        /// Sets the job's queue.
        pub fn queue(mut self, queue: impl Into<String>) -> Self {
            let $job = &mut self;
            $fields.fields.queue = queue.into();
            self
        }

        /// Sets the number of the attempt, from 1.
        pub fn attempt(mut self, number: u32) -> Self {
            let $job = &mut self;
            $fields.fields.attempt = number;
            self
        }

        /// Sets the maximum number of attempts.
        pub fn max_attempts(mut self, attempts: u32) -> Self {
            let $job = &mut self;
            $fields.fields.max_attempts = attempts;
            self
        }

        /// Sets the timeout that the context shows. It ends nothing.
        pub fn timeout(mut self, timeout: Duration) -> Self {
            let $job = &mut self;
            $fields.fields.timeout = Some(timeout);
            self
        }

        /// Sets the job's priority.
        pub fn priority(mut self, priority: i32) -> Self {
            let $job = &mut self;
            $fields.fields.priority = priority;
            self
        }

        /// Adds a tag.
        pub fn tag(mut self, tag: impl Into<String>) -> Self {
            let $job = &mut self;
            $fields.fields.tags.push(tag.into());
            self
        }

        /// Sets when the job was submitted, a text of RFC 3339.
        pub fn enqueued_at(mut self, time: impl Into<String>) -> Self {
            let $job = &mut self;
            $fields.fields.enqueued_at = time.into();
            self
        }

        /// Adds a state, as `.state(…)` of a server or worker does.
        pub fn state<T: Clone + Send + Sync + 'static>(mut self, value: T) -> Self {
            let $job = &mut self;
            $fields.states.add(value);
            self
        }

        /// Sets the client that the context has. Without one, it has a client whose requests fail
        /// with [`ClientError::NoServer`](crate::client::ClientError::NoServer).
        pub fn client(mut self, client: &Client) -> Self {
            let $job = &mut self;
            $fields.client = Some(client.clone());
            self
        }

        /// Cancels the job before the handler runs.
        pub fn cancelled(self, cause: CancelCause) -> Self {
            self.canceller().cancel(cause);
            self
        }
    };
}

impl TestJob {
    /// A job with the defaults of a server.
    pub fn new() -> TestJob {
        TestJob::default()
    }

    setters_of_the_job!(job => job);

    /// What cancels the job.
    pub fn canceller(&self) -> Cancel {
        Cancel { token: self.cancel.clone(), cause: Arc::clone(&self.cause) }
    }

    /// The context of the attempt.
    pub fn context(self) -> Context {
        self.split().1
    }

    fn split(self) -> (Arc<TestAttempt>, Context) {
        let TestJob { fields, states, client, cancel, cause } = self;
        let client = client.unwrap_or_else(Client::nowhere);
        let attempt = Arc::new(TestAttempt { fields, cancel, cause, notes: Mutex::default() });
        let surroundings = Arc::new(Surroundings { states, client });
        (Arc::clone(&attempt), Context::new(attempt, surroundings))
    }
}

impl Context {
    /// A context for tests: of the first attempt of a job of the kind `test`. [`TestJob`] has the other ones.
    pub fn for_test() -> Context {
        TestJob::new().context()
    }
}

impl<H> Run<H> {
    /// A run of a handler: a function, or a type that implements [`Handler`](super::Handler).
    pub fn new<M>(handler: H) -> Run<H>
    where
        H: HandlerFn<M>,
    {
        Run { handler, job: TestJob::new(), layers: Layers::default() }
    }

    setters_of_the_job!(run => run.job);

    /// What cancels the run.
    pub fn canceller(&self) -> Cancel {
        self.job.canceller()
    }

    /// Adds a function that runs around the handler, as `.middleware(…)` of a server or worker does.
    pub fn middleware<F, Fut>(mut self, middleware: F) -> Run<H>
    where
        F: Fn(Context, Next) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = HandlerEnd> + Send + 'static,
    {
        self.layers.add(middleware);
        self
    }

    /// Runs the handler with a payload, which it gets as JSON.
    ///
    /// # Panics
    /// The payload cannot be written as JSON, the handler panics, or it needs a state that was not given.
    pub async fn payload<M>(self, payload: &(impl Serialize + ?Sized)) -> TestedAttempt
    where
        H: HandlerFn<M>,
    {
        let payload = serde_json::to_string(payload);
        self.json(payload.expect("the payload of a test can be written as JSON")).await
    }

    /// Runs the handler with a payload that is JSON text, such as one that its type does not accept.
    ///
    /// # Panics
    /// The handler panics, or it needs a state that was not given.
    pub async fn json<M>(self, payload: impl Into<String>) -> TestedAttempt
    where
        H: HandlerFn<M>,
    {
        let Run { handler, job, layers } = self;
        let handler = handler.erase(&job.states);
        let handler = handler.unwrap_or_else(|missing| panic!("{}", missing.of_kind("test")));
        let (attempt, context) = job.split();
        let end = layers.around(handler).start(context, &payload.into()).await;
        TestedAttempt { attempt, end }
    }
}

/// An attempt that a test has run.
#[derive(Debug)]
pub struct TestedAttempt {
    attempt: Arc<TestAttempt>,
    end: HandlerEnd,
}

impl TestedAttempt {
    /// How the handler has ended.
    pub fn outcome(&self) -> &HandlerEnd {
        &self.end
    }

    /// The result, read as this type.
    ///
    /// # Panics
    /// The attempt did not succeed, or its result is not of this type.
    pub fn result<T: DeserializeOwned>(&self) -> T {
        match self.end.result_as() {
            Some(Ok(result)) => result,
            Some(Err(error)) => panic!("the result is not of this type: {error}: {:?}", self.end),
            None => panic!("the attempt did not succeed: {:?}", self.end),
        }
    }

    /// What went wrong, if something did.
    pub fn error(&self) -> Option<&str> {
        self.end.error()
    }

    /// The lines of the log.
    pub fn log(&self) -> Vec<String> {
        self.attempt.notes().lines.iter().map(|(_, line)| line.clone()).collect()
    }

    /// The lines of the log with where they come from.
    pub fn log_with_streams(&self) -> Vec<(LogStream, String)> {
        self.attempt.notes().lines.clone()
    }

    /// The progress that was reported last.
    pub fn progress(&self) -> Option<JobProgress> {
        self.attempt.notes().progress.last().cloned()
    }

    /// All reports of progress.
    pub fn progress_reports(&self) -> Vec<JobProgress> {
        self.attempt.notes().progress.clone()
    }
}

#[derive(Debug)]
struct TestAttempt {
    fields: JobFields,
    cancel: CancellationToken,
    cause: Arc<OnceLock<CancelCause>>,
    notes: Mutex<TestNotes>,
}

#[derive(Debug, Default)]
struct TestNotes {
    lines: Vec<(LogStream, String)>,
    progress: Vec<JobProgress>,
}

impl TestAttempt {
    fn notes(&self) -> MutexGuard<'_, TestNotes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ContextAttempt for TestAttempt {
    fn id(&self) -> &str {
        &self.fields.id
    }

    fn kind(&self) -> &str {
        &self.fields.kind
    }

    fn queue(&self) -> &str {
        &self.fields.queue
    }

    fn attempt(&self) -> u32 {
        self.fields.attempt
    }

    fn max_attempts(&self) -> u32 {
        self.fields.max_attempts
    }

    fn timeout(&self) -> Option<Duration> {
        self.fields.timeout
    }

    fn priority(&self) -> i32 {
        self.fields.priority
    }

    fn tag(&self, index: usize) -> Option<&str> {
        self.fields.tags.get(index).map(String::as_str)
    }

    fn enqueued_at(&self) -> &str {
        &self.fields.enqueued_at
    }

    fn cancellation(&self) -> &CancellationToken {
        &self.cancel
    }

    fn cancel_cause(&self) -> Option<CancelCause> {
        // A test may cancel the token itself.
        let cause = || self.cause.get().copied().unwrap_or(CancelCause::Cancelled);
        self.cancel.is_cancelled().then(cause)
    }

    fn log_line(self: Arc<Self>, stream: LogStream, line: &str) {
        self.notes().lines.push((stream, line.to_owned()));
    }

    fn has_log_room(&self) -> bool {
        true
    }

    fn log_room(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(std::future::ready(()))
    }

    fn report_progress(self: Arc<Self>, done: u64, total: Option<u64>, message: Option<&str>) {
        let message = message.map(str::to_owned);
        self.notes().progress.push(JobProgress { done, total, message });
    }
}
