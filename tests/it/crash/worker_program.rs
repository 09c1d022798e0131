//! The worker in Rust that [`super::workers`] kills: this test binary, which runs the one test below alone.

use std::fmt::Debug;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cortado::client::{Client, Context, HandlerError, Worker, WorkerProtocol};
use serde::Deserialize;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context as LayerContext, Layer, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::support::Command;

const TEST: &str = "crash::worker_program::a_worker_process_ends_when_it_is_told_to";
/// The variables in which the process finds its server, its name, its file and its protocol.
const VARIABLES: [&str; 4] =
    ["CRASH_WORKER_SERVER", "CRASH_WORKER_NAME", "CRASH_WORKER_FILE", "CRASH_WORKER_PROTOCOL"];

/// Starts the process. The protocol is `http` or `websocket`.
pub fn start(server: &str, name: &str, file: &str, protocol: &str) -> Command {
    let program = std::env::current_exe().unwrap();
    let args = ["--exact", TEST, "--ignored", "--nocapture"];
    Command::changed(program.to_str().unwrap(), &args, |command| {
        command.envs(VARIABLES.into_iter().zip([server, name, file, protocol]));
    })
}

#[derive(Deserialize)]
struct Work {
    ms: u64,
    fails: u32,
}

/// Writes down which ends of jobs the server has confirmed, as the client logs them.
struct RecordConfirmations(Arc<Mutex<File>>);

impl<S: Subscriber> Layer<S> for RecordConfirmations {
    fn on_event(&self, event: &Event<'_>, _: LayerContext<'_, S>) {
        let mut line = LoggedEnd::default();
        event.record(&mut line);
        if line.message == "the server has stored the end of the job" {
            let line = format!("confirmed {}\n", line.job);
            self.0.lock().unwrap().write_all(line.as_bytes()).unwrap();
        }
    }
}

#[derive(Default)]
struct LoggedEnd {
    message: String,
    job: String,
}

impl Visit for LoggedEnd {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            "job.id" => self.job = format!("{value:?}"),
            _ => {}
        }
    }
}

#[tokio::test]
#[ignore = "it is a program, which another test starts"]
async fn a_worker_process_ends_when_it_is_told_to() {
    let [Ok(server), Ok(name), Ok(file), Ok(protocol)] = VARIABLES.map(std::env::var) else {
        return;
    };
    let protocol = match &*protocol {
        "http" => WorkerProtocol::Http,
        _ => WorkerProtocol::WebSocket,
    };
    let mut terminated = signal(SignalKind::terminate()).unwrap();
    let file = OpenOptions::new().create(true).append(true).open(file).unwrap();
    let (file, count) = (Arc::new(Mutex::new(file)), Arc::new(AtomicU32::new(0)));
    tracing_subscriber::registry().with(RecordConfirmations(file.clone())).init();
    let worker = Worker::new(&Client::new(server).unwrap())
        .name(name.clone())
        .concurrency(4)
        .protocol(protocol)
        .lease(Duration::from_secs(2))
        .grace(Duration::from_millis(100))
        .reconnect(Duration::from_millis(20), Duration::from_millis(100))
        .handle_kind("work", move |context: Context, work: Work| {
            let mark = format!("{name}-{}", count.fetch_add(1, Ordering::Relaxed) + 1);
            let line = format!("began {} {} {mark}\n", context.id(), context.attempt());
            file.lock().unwrap().write_all(line.as_bytes()).unwrap();
            async move {
                sleep(Duration::from_millis(work.ms)).await;
                if context.attempt() <= work.fails {
                    return Err(HandlerError::from("it fails on purpose"));
                }
                Ok(mark)
            }
        });
    let until = async {
        terminated.recv().await.unwrap();
    };
    worker.run(until).await.unwrap();
}
