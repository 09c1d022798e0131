//! The log of the process: lines on standard error that can never hurt the server. Whoever logs puts a line
//! into a bounded queue ([`queue`]) and goes on; a thread of its own writes ([`writer`]). What does not fit or
//! cannot be written is dropped and counted. There is one log in a process, as there is one standard error.
//!
//! `tracing-appender` has a writer off the runtime, too. It bounds lines, not bytes; it does not count what its
//! thread could not write; it tells nobody of a recovery; and nobody notices when its thread is gone.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::{Arc, OnceLock, mpsc};
use std::time::Duration;

use tracing::subscriber::SetGlobalDefaultError;
use tracing_subscriber::EnvFilter;

use crate::supervise::Failure;

mod panics;
pub mod queue;
mod raw_lines;
pub(crate) mod retry_log;
pub mod writer;

pub use queue::{Line, Queue};
pub use raw_lines::RAW_LINE;
use raw_lines::RawLines;
pub use retry_log::RetryLog;

/// How long a line may take that is written without the log's thread.
const SAY_WITHIN: Duration = Duration::from_secs(1);

static LOG: OnceLock<Log> = OnceLock::new();

struct Log {
    queue: Arc<Queue>,
    format: Format,
}

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Begins the log on standard error, for what `filter` lets through, with at most `capacity` bytes waiting; and
/// sends panics there, too. Called once, by a program that has no other subscriber.
///
/// # Errors
/// When there is no thread or file to be had, or there is a subscriber already.
pub fn install(format: Format, filter: EnvFilter, capacity: usize) -> io::Result<()> {
    let stderr = io::stderr();
    let is_terminal = stderr.is_terminal();
    // A file of its own: what waits for a reader then holds no lock that somebody else could want.
    let file = File::from(stderr.as_fd().try_clone_to_owned()?);
    let queue = writer::start(file, capacity)?;
    let taken = |error: SetGlobalDefaultError| io::Error::other(error);
    tracing::subscriber::set_global_default(subscriber(format, filter, is_terminal, &queue))
        .map_err(taken)?;
    // A second log would not have got here.
    let _first = LOG.set(Log { queue, format });
    panics::log_them();
    Ok(())
}

/// Formats what the filter lets through and hands it to the queue.
fn subscriber(
    format: Format,
    filter: EnvFilter,
    ansi: bool,
    queue: &Arc<Queue>,
) -> Box<dyn tracing::Subscriber + Send + Sync> {
    let queue = queue.clone();
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(ansi)
        .with_writer(move || Line::of(queue.clone()));
    match format {
        Format::Text => Box::new(lines.map_event_format(RawLines).finish()),
        Format::Json => Box::new(lines.json().map_event_format(RawLines).finish()),
    }
}

/// Lines that were dropped since the start of the process.
pub fn dropped() -> u64 {
    LOG.get().map_or(0, |log| log.queue.dropped())
}

/// Resolves when the log's thread has failed: the server must stop with a non-zero code.
pub async fn failed() -> Failure {
    match LOG.get() {
        Some(log) => log.queue.failures().first().await,
        None => std::future::pending().await,
    }
}

/// The failure of the log's thread, if there was one.
pub fn failure() -> Option<Failure> {
    LOG.get().and_then(|log| log.queue.failures().get().cloned())
}

/// Tells people why the process ends: as a line of its log when that is for machines, else in plain words.
pub fn say(text: &str) {
    match LOG.get() {
        Some(Log { format: Format::Json, .. }) if tracing::enabled!(tracing::Level::ERROR) => {
            tracing::error!("{text}");
        }
        Some(log) => log.queue.push(format!("cortado: {text}\n").as_bytes()),
        None => {
            write_within(io::stderr().as_fd().try_clone_to_owned(), format!("cortado: {text}\n"))
        }
    }
}

/// Writes to standard output beside everything else: nobody may be reading, and that is no reason not to serve.
pub fn announce(text: String) {
    let out = io::stdout().as_fd().try_clone_to_owned();
    let (done, _) = mpsc::channel();
    write_apart(out, text, done);
}

/// Writes out what waits, for so long at most. What is logged later is lost.
pub fn finish(within: Duration) {
    if let Some(log) = LOG.get() {
        log.queue.finish(within);
    }
}

fn write_within(file: io::Result<std::os::fd::OwnedFd>, text: String) {
    let (done, written) = mpsc::channel();
    write_apart(file, text, done);
    // Written, or nobody reads: the process goes on.
    let _ = written.recv_timeout(SAY_WITHIN);
}

/// Writes a text on a thread that nobody waits for: it ends with the text, or with the process.
fn write_apart(file: io::Result<std::os::fd::OwnedFd>, text: String, done: mpsc::Sender<()>) {
    let Ok(file) = file else { return };
    let write = move || {
        // There is nowhere to tell of an error.
        let _unread = File::from(file).write_all(text.as_bytes());
        drop(done);
    };
    // Without a thread there is no way to write that could not hold everything up.
    let _none = std::thread::Builder::new().name("cortado-say".into()).spawn(write);
}
