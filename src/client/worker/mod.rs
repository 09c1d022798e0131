//! Workers run jobs of a server in this process: handlers, their leases, and an orderly stop.

mod attempts;
mod delays;
mod drive;
mod http_link;
mod leased_attempt;
mod link;
mod messages;
mod outbox;
mod settings;
mod settled;
mod socket_link;

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

pub use drive::{StopCause, WorkerEnd};

use super::Client;
use super::backoff::RandomBackoff;
use super::error::ClientError;
use super::handler::{
    Context, HandlerEnd, HandlerFn, Layers, Next, PendingHandler, States, Surroundings, pending,
};
use super::kind::JobKind;
use super::submit::random_key;
use attempts::Attempts;
use drive::drive;
use http_link::HttpLink;
use messages::AboutWorker;
use outbox::CreditMode;
use settings::{WorkerSettings, default_name, host, is_name};
use socket_link::SocketLink;

/// How a worker is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WorkerProtocol {
    /// A WebSocket, over which jobs and cancellations arrive at once. With a server in the same process, requests take its
    /// place.
    #[default]
    WebSocket,
    /// Requests, of which one waits for jobs.
    Http,
}

/// A worker: takes jobs from a server, runs their handlers, and extends their leases meanwhile.
///
/// A handler is an async function of a [`Context`], a payload and up to four [`State`](super::State)s: see [`HandlerFn`].
/// Its `Ok` is the result of the job; its error decides what happens instead: see [`JobError`](super::JobError). A payload
/// that the handler's type does not accept discards the job.
///
/// A handler runs on the worker's own task up to its first wait, so that short ones cost little. If that takes long, the
/// worker gives the next ones a task from the beginning. Work that blocks belongs in `tokio::task::spawn_blocking`.
///
/// ```no_run
/// use cortado::client::{Client, Context, HandlerError, JobKind, Worker};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Resize {
///     url: String,
/// }
///
/// impl JobKind for Resize {
///     const KIND: &'static str = "resize";
/// }
///
/// async fn resize(context: Context, job: Resize) -> Result<usize, HandlerError> {
///     context.log(format!("resizing {}", job.url));
///     if job.url.is_empty() {
///         return Err(HandlerError::discard("there is no image"));
///     }
///     Ok(job.url.len())
/// }
///
/// # async fn work(stop: impl Future<Output = ()>) -> Result<(), cortado::client::ClientError> {
/// let client = Client::new("http://127.0.0.1:8080")?;
/// let worker = Worker::new(&client).queues(["images"]).concurrency(20).handle(resize);
/// worker.run(stop).await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "a worker does nothing until it is run"]
pub struct Worker {
    client: Client,
    name: String,
    queues: Vec<String>,
    concurrency: usize,
    lease: Duration,
    grace: Duration,
    protocol: WorkerProtocol,
    reconnect: RandomBackoff,
    reconnect_refused: RandomBackoff,
    handlers: Vec<(String, PendingHandler)>,
    states: States,
    layers: Layers,
}

impl Worker {
    /// Creates a worker for the queue `default` that runs up to 10 jobs at once.
    pub fn new(client: &Client) -> Worker {
        Worker {
            client: client.clone(),
            name: default_name(),
            queues: vec!["default".to_owned()],
            concurrency: 10,
            lease: Duration::from_secs(30),
            grace: Duration::from_secs(25),
            protocol: WorkerProtocol::default(),
            reconnect: RandomBackoff::new(Duration::from_millis(250), Duration::from_secs(30)),
            reconnect_refused: RandomBackoff::new(
                Duration::from_secs(10),
                Duration::from_secs(300),
            ),
            handlers: Vec::new(),
            states: States::default(),
            layers: Layers::default(),
        }
    }

    /// Sets the name under which the server knows the worker: 1 to 100 of the characters `A-Z a-z 0-9 . _ : @ -`. Two
    /// workers must not have the same name at once. The default is the host name, the process id and a random part.
    pub fn name(mut self, name: impl Into<String>) -> Worker {
        self.name = name.into();
        self
    }

    /// Sets the queues from which it takes jobs.
    pub fn queues(mut self, queues: impl IntoIterator<Item = impl Into<String>>) -> Worker {
        self.queues = queues.into_iter().map(Into::into).collect();
        self
    }

    /// Sets how many jobs run at once: 1 to 10,000.
    pub fn concurrency(mut self, jobs: usize) -> Worker {
        self.concurrency = jobs;
        self
    }

    /// Sets how long leases last: 1 second to 1 hour, by default 30 seconds. The worker extends them while its jobs
    /// run. If it vanishes, its jobs run again when their leases have expired.
    pub fn lease(mut self, lease: Duration) -> Worker {
        self.lease = lease;
        self
    }

    /// Sets how long a stopping worker waits for its handlers before it gives their jobs back; 25 seconds by default.
    pub fn grace(mut self, grace: Duration) -> Worker {
        self.grace = grace;
        self
    }

    /// Sets how the worker is connected.
    pub fn protocol(mut self, protocol: WorkerProtocol) -> Worker {
        self.protocol = protocol;
        self
    }

    /// Sets the longest delays before the first and before any further attempt to reconnect.
    pub fn reconnect(mut self, first: Duration, longest: Duration) -> Worker {
        self.reconnect = RandomBackoff::new(first, longest);
        self
    }

    /// Sets the same delays for a server that no longer accepts the token: each attempt is a failed login, which the
    /// server counts and logs. The defaults are 10 seconds and 5 minutes.
    pub fn reconnect_refused(mut self, first: Duration, longest: Duration) -> Worker {
        self.reconnect_refused = RandomBackoff::new(first, longest);
        self
    }

    /// Adds the handler of the kind of its payload ([`JobKind`]).
    pub fn handle<M, H>(self, handler: H) -> Worker
    where
        H: HandlerFn<M>,
        H::Payload: JobKind,
    {
        self.handle_kind(<H::Payload as JobKind>::KIND, handler)
    }

    /// Adds the handler of a kind that has no type, or whose payload has another one.
    pub fn handle_kind<M, H: HandlerFn<M>>(
        mut self,
        kind: impl Into<String>,
        handler: H,
    ) -> Worker {
        self.handlers.push((kind.into(), pending(handler)));
        self
    }

    /// Adds a value for the arguments [`State`](super::State) of handlers. Each handler gets a clone, so what is expensive to
    /// clone belongs in an `Arc`. A value replaces an earlier one of the same type.
    pub fn state<T: Clone + Send + Sync + 'static>(mut self, value: T) -> Worker {
        self.states.add(value);
        self
    }

    /// Adds a function that runs around all handlers, within those that were added before.
    ///
    /// ```no_run
    /// # use cortado::client::{Client, Context, Next, Worker};
    /// # fn timed(client: &Client) -> Worker {
    /// Worker::new(client).middleware(|context: Context, next: Next| async move {
    ///     let begin = std::time::Instant::now();
    ///     let end = next.run(context.clone()).await;
    ///     println!("{} of kind {} took {:?}", context.id(), context.kind(), begin.elapsed());
    ///     end
    /// })
    /// # }
    /// ```
    pub fn middleware<F, Fut>(mut self, middleware: F) -> Worker
    where
        F: Fn(Context, Next) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = HandlerEnd> + Send + 'static,
    {
        self.layers.add(middleware);
        self
    }

    /// Runs jobs until `until` is ready, or until somebody tells the worker to stop on the server. Then it takes no more
    /// jobs, waits for its handlers, gives back what is not done, and signs off. When the server cannot be reached, it tries
    /// again for ever. If the future is dropped, handlers end where they are, and their jobs run again when their leases
    /// have expired.
    ///
    /// # Errors
    /// A setting is not valid, a handler needs a state that was not given, the server refuses the first connection, or
    /// another worker has taken the name.
    pub async fn run(self, until: impl Future<Output = ()>) -> Result<WorkerEnd, ClientError> {
        let settings = Arc::new(self.settings()?);
        let api = self.client.api.clone();
        let protocol = if api.is_network() { self.protocol } else { WorkerProtocol::Http };
        let credit = match protocol {
            WorkerProtocol::WebSocket => CreditMode::Given,
            WorkerProtocol::Http => CreditMode::Withheld,
        };
        let mut handlers = Vec::with_capacity(self.handlers.len());
        for (kind, handler) in self.handlers {
            let handler = handler(&self.states)
                .map_err(|missing| ClientError::InvalidWorker(missing.of_kind(&kind)))?;
            handlers.push((kind, self.layers.around(handler)));
        }
        let surroundings = Surroundings { states: self.states, client: self.client };
        let attempts = Attempts::new(handlers, Arc::new(surroundings), self.concurrency, credit);
        match protocol {
            WorkerProtocol::WebSocket => {
                drive(SocketLink::new(api, settings), attempts, self.grace, until).await
            }
            WorkerProtocol::Http => {
                drive(HttpLink::new(api, settings), attempts, self.grace, until).await
            }
        }
    }

    fn settings(&self) -> Result<WorkerSettings, ClientError> {
        let invalid = |why: String| Err(ClientError::InvalidWorker(why));
        if !is_name(&self.name) {
            return invalid(format!(
                "its name must be 1 to 100 of the characters A-Z a-z 0-9 . _ : @ -, not {:?}",
                self.name
            ));
        }
        if self.handlers.is_empty() {
            return invalid("it has no handler".to_owned());
        }
        if !(1..=10_000).contains(&self.concurrency) {
            return invalid(format!(
                "its concurrency must be 1 to 10,000, not {}",
                self.concurrency
            ));
        }
        if !(Duration::from_secs(1)..=Duration::from_secs(3_600)).contains(&self.lease) {
            return invalid(format!("its lease must be 1 s to 1 h, not {:?}", self.lease));
        }
        let kinds: Vec<String> = self.handlers.iter().map(|(kind, _)| kind.clone()).collect();
        let mut seen = HashSet::new();
        if let Some(kind) = kinds.iter().find(|kind| !seen.insert(kind.as_str())) {
            return invalid(format!("the kind {kind} has two handlers"));
        }
        Ok(WorkerSettings {
            name: self.name.clone(),
            queues: self.queues.clone(),
            kinds,
            lease: self.lease,
            about: AboutWorker {
                host: host(),
                pid: std::process::id(),
                client: "cortado-rust",
                version: env!("CARGO_PKG_VERSION"),
                concurrency: self.concurrency,
                instance: Some(random_key()),
            },
            reconnect: self.reconnect.clone(),
            reconnect_refused: self.reconnect_refused.clone(),
        })
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("name", &self.name)
            .field("queues", &self.queues)
            .finish_non_exhaustive()
    }
}
