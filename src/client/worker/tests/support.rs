//! A worker whose end and connection the test controls.

use std::fmt::Debug;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::{DefaultGuard, NoSubscriber};
use tracing::{Dispatch, Event, Level, Metadata, Subscriber};

use crate::client::tests::fake_server::{FakeServer, within};
use crate::client::{
    Client, ClientError, Context, HandlerError, Worker, WorkerEnd, WorkerProtocol,
};

/// A worker that runs in the background.
pub struct RunningWorker {
    stop: Option<oneshot::Sender<()>>,
    run: JoinHandle<Result<WorkerEnd, ClientError>>,
}

impl RunningWorker {
    pub fn start(worker: Worker) -> RunningWorker {
        let (stop, stopped) = oneshot::channel();
        let until = async {
            stopped.await.unwrap();
        };
        RunningWorker { stop: Some(stop), run: tokio::task::spawn(worker.run(until)) }
    }

    /// Tells the worker to stop.
    pub fn stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    pub async fn end(mut self) -> Result<WorkerEnd, ClientError> {
        within("the end of the worker", &mut self.run).await.unwrap()
    }
}

impl Drop for RunningWorker {
    fn drop(&mut self) {
        self.run.abort();
    }
}

/// A worker that reconnects quickly, with a handler `echo`, one `wait` that waits until it is cancelled, and one `obey`
/// that then says so.
pub fn worker(client: &Client) -> Worker {
    let short = Duration::from_millis(5);
    Worker::new(client)
        .name("w")
        .reconnect(short, short)
        .reconnect_refused(short, short)
        .concurrency(10)
        .handle_kind(
            "echo",
            |_: Context, payload: Value| async move { Ok::<_, HandlerError>(payload) },
        )
        .handle_kind("wait", |context: Context, _: Value| async move {
            context.cancelled().await;
            std::future::pending::<Result<(), HandlerError>>().await
        })
        .handle_kind("obey", |context: Context, _: Value| async move {
            context.log("begun");
            context.cancelled().await;
            Err::<(), _>(format!("stopped: {:?}", context.cancel_cause()))
        })
}

/// A server, and a worker over WebSocket.
pub async fn running() -> (FakeServer, RunningWorker) {
    let server = FakeServer::start().await;
    let running = RunningWorker::start(worker(&server.client()));
    (server, running)
}

/// A server, and a worker over HTTP.
pub async fn running_over_http() -> (FakeServer, RunningWorker) {
    let server = FakeServer::start().await;
    let worker = worker(&server.client()).protocol(WorkerProtocol::Http);
    (server, RunningWorker::start(worker))
}

/// The errors that were logged on this thread.
#[derive(Clone, Default)]
pub struct ErrorLog(Arc<Mutex<Vec<String>>>);

impl ErrorLog {
    /// Records until the guard is dropped.
    pub fn record(&self) -> DefaultGuard {
        // With a single subscriber in the process, `tracing` caches whether the thread that logs a line first wants it; a
        // thread of another test could then disable the line for all. A second subscriber prevents that.
        static SECOND: OnceLock<Dispatch> = OnceLock::new();
        SECOND.get_or_init(|| Dispatch::new(NoSubscriber::new()));
        tracing::subscriber::set_default(self.clone())
    }

    pub fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl Subscriber for ErrorLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::ERROR && metadata.target().starts_with("cortado::client")
    }

    fn event(&self, event: &Event<'_>) {
        struct Message<'a>(&'a mut Vec<String>);
        impl Visit for Message<'_> {
            fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
                if field.name() == "message" {
                    self.0.push(format!("{value:?}"));
                }
            }
        }
        event.record(&mut Message(&mut self.0.lock().unwrap()));
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}
