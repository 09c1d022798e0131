//! The log of the process: lines on standard error that never slow the server down. Logging appends a line to a
//! bounded queue ([`queue`]), and a thread writes it ([`writer`]). Lines that do not fit or cannot be written are
//! dropped and counted. A process has one log, as it has one standard error.
//!
//! The writer thread of `tracing-appender` is not enough: it bounds the number of lines but not their bytes, does not
//! count lines that it failed to write, does not report that writing works again, and its end goes unnoticed.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::{Arc, OnceLock, mpsc};
use std::time::Duration;

use tracing::subscriber::SetGlobalDefaultError;
use tracing_subscriber::EnvFilter;

use crate::job::hidden::printable_lines;
use crate::supervise::PartFailure;

mod panics;
pub mod queue;
mod raw_lines;
pub(crate) mod retry_log;
mod safe_lines;
pub mod writer;

pub use queue::{LineQueue, LineWriter};
pub use raw_lines::RAW_LINE;
use raw_lines::RawLines;
pub use retry_log::RetryLog;
pub use safe_lines::LineStyle;

/// How long writing a line may take when it bypasses the log's thread.
const EXIT_REPORT_TIMEOUT: Duration = Duration::from_secs(1);

static LOG: OnceLock<ProcessLog> = OnceLock::new();

struct ProcessLog {
    queue: Arc<LineQueue>,
    format: LineFormat,
}

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineFormat {
    /// Text for people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Starts the log on standard error with a filter and a queue of at most `capacity` bytes, and turns panics into
/// log lines. Called once, by a program without another subscriber.
///
/// # Errors
/// The thread or the file could not be opened, or there is a subscriber already.
pub fn install(format: LineFormat, filter: EnvFilter, capacity: usize) -> io::Result<()> {
    let stderr = io::stderr();
    let is_terminal = stderr.is_terminal();
    // A duplicate of standard error: a blocked write then holds no lock that other code could need.
    let file = File::from(stderr.as_fd().try_clone_to_owned()?);
    let queue = writer::start(file, capacity)?;
    let taken = |error: SetGlobalDefaultError| io::Error::other(error);
    tracing::subscriber::set_global_default(subscriber(format, filter, is_terminal, &queue))
        .map_err(taken)?;
    // With a second log, setting the subscriber would have failed.
    let _first = LOG.set(ProcessLog { queue, format });
    panics::log_them();
    Ok(())
}

/// Formats events that pass the filter and appends them to the queue.
fn subscriber(
    format: LineFormat,
    filter: EnvFilter,
    ansi: bool,
    queue: &Arc<LineQueue>,
) -> Box<dyn tracing::Subscriber + Send + Sync> {
    let queue = queue.clone();
    let style = match format {
        LineFormat::Json => LineStyle::Json,
        LineFormat::Text if ansi => LineStyle::Coloured,
        LineFormat::Text => LineStyle::Plain,
    };
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(ansi)
        .with_writer(move || LineWriter::of(queue.clone(), style));
    match format {
        LineFormat::Text => Box::new(lines.map_event_format(RawLines).finish()),
        LineFormat::Json => Box::new(lines.json().map_event_format(RawLines).finish()),
    }
}

/// The number of lines that were dropped since the start of the process.
pub fn dropped() -> u64 {
    LOG.get().map_or(0, |log| log.queue.dropped())
}

/// Resolves when the log's thread has failed, so that the server must stop with a non-zero code.
pub async fn failed() -> PartFailure {
    match LOG.get() {
        Some(log) => log.queue.failures().first().await,
        None => std::future::pending().await,
    }
}

/// The failure of the log's thread, if there is one.
pub fn failure() -> Option<PartFailure> {
    LOG.get().and_then(|log| log.queue.failures().get().cloned())
}

/// Reports why the process ends: as a log line when the log is read by machines, otherwise as plain text. The text may
/// quote a file or a server, so characters that control a terminal are escaped.
pub fn report_exit(text: &str) {
    let text = printable_lines(text);
    match LOG.get() {
        Some(ProcessLog { format: LineFormat::Json, .. })
            if tracing::enabled!(tracing::Level::ERROR) =>
        {
            tracing::error!("{text}");
        }
        Some(log) => log.queue.push(format!("cortado: {text}\n").as_bytes()),
        None => {
            write_within(io::stderr().as_fd().try_clone_to_owned(), format!("cortado: {text}\n"))
        }
    }
}

/// Writes to standard output without blocking the server when nobody reads.
pub fn write_to_stdout(text: String) {
    let text = printable_lines(&text).into_owned();
    let out = io::stdout().as_fd().try_clone_to_owned();
    let (done, _) = mpsc::channel();
    write_apart(out, text, done);
}

/// Waits until all lines are written, for at most `within`. Later lines are lost.
pub fn finish(within: Duration) {
    if let Some(log) = LOG.get() {
        log.queue.finish(within);
    }
}

fn write_within(file: io::Result<std::os::fd::OwnedFd>, text: String) {
    let (done, written) = mpsc::channel();
    write_apart(file, text, done);
    // If nobody reads, the process continues without the text.
    let _ = written.recv_timeout(EXIT_REPORT_TIMEOUT);
}

/// Writes a text on a detached thread, which ends when the text is written or when the process exits.
fn write_apart(file: io::Result<std::os::fd::OwnedFd>, text: String, done: mpsc::Sender<()>) {
    let Ok(file) = file else { return };
    let write = move || {
        // An error cannot be reported anywhere.
        let _unread = File::from(file).write_all(text.as_bytes());
        drop(done);
    };
    // Without a thread, writing could block everything.
    let _none = std::thread::Builder::new().name("cortado-print".into()).spawn(write);
}
