//! The output of commands. When its reader has closed it, a command ends without a message and never panics.

use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::job::hidden::{printable, printable_json, printable_lines};

/// How often it is checked whether the reader has closed standard output.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Whether a write failed because the reader has closed standard output.
static CLOSED: AtomicBool = AtomicBool::new(false);

/// Standard output that remembers whether its reader has closed it.
#[derive(Debug, Default)]
pub struct Output(());

impl Output {
    /// Whether a write failed because the reader has closed it (`cortado stats | head -1`). A command that ends for
    /// this reason prints no message.
    pub fn was_closed() -> bool {
        CLOSED.load(Ordering::Relaxed)
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::stdout().write(bytes).inspect_err(notice)
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stdout().flush().inspect_err(notice)
    }
}

/// Resolves when the reader has closed standard output, even if nothing is written to it.
pub async fn reader_gone() {
    let mut interval = tokio::time::interval(CHECK_INTERVAL);
    loop {
        interval.tick().await;
        let stdout = io::stdout();
        let mut files = [PollFd::new(stdout.as_fd(), PollFlags::empty())];
        let has_events = poll(&mut files, PollTimeout::ZERO).is_ok_and(|count| count > 0);
        if has_events && files[0].revents().is_some_and(|is| is.contains(PollFlags::POLLERR)) {
            return;
        }
    }
}

/// Remembers an error that means that the reader has gone.
fn notice(error: &io::Error) {
    if error.kind() == io::ErrorKind::BrokenPipe {
        CLOSED.store(true, Ordering::Relaxed);
    }
}

/// Prints a message on standard error. Unlike `eprintln!`, it does not panic when standard error is closed. What a
/// server or a file says in it cannot control the terminal.
pub fn say(text: &str) {
    let _unread = io::stderr().write_all(format!("{}\n", printable_lines(text)).as_bytes());
}

/// A text with its line feeds and everything else that could control a terminal escaped.
pub fn escaped(text: &str) -> String {
    printable(text).into_owned()
}

/// Output of bytes that may not be changed, such as those of an export. On a terminal, where no program reads them,
/// characters that could control it are escaped all the same.
#[derive(Debug)]
pub struct RawOutput<W> {
    out: W,
    target: OutputTarget,
    /// The beginning of a character that was not written completely yet.
    open: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OutputTarget {
    Program,
    Terminal,
}

impl RawOutput<Output> {
    /// Standard output.
    pub fn standard() -> Self {
        let target =
            if io::stdout().is_terminal() { OutputTarget::Terminal } else { OutputTarget::Program };
        RawOutput { out: Output::default(), target, open: Vec::new() }
    }
}

impl<W: Write> Write for RawOutput<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.target == OutputTarget::Program {
            return self.out.write(bytes);
        }
        self.open.extend_from_slice(bytes);
        let length = match str::from_utf8(&self.open) {
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Ok(_) | Err(_) => self.open.len(),
        };
        let rest = self.open.split_off(length);
        let text = String::from_utf8_lossy(&self.open);
        self.out.write_all(printable_json(&text).as_bytes())?;
        self.open = rest;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_export_is_unchanged_for_a_program_and_harmless_on_a_terminal() {
        let lines = "{\"a\":\"\u{9b}2Jä\u{202e}\"}\n";
        for (target, shown) in [
            (OutputTarget::Program, lines),
            (OutputTarget::Terminal, "{\"a\":\"\\u009b2Jä\\u202e\"}\n"),
        ] {
            for length in 1..=lines.len() {
                let mut raw = RawOutput { out: Vec::new(), target, open: Vec::new() };
                for part in lines.as_bytes().chunks(length) {
                    raw.write_all(part).unwrap();
                }
                assert_eq!(String::from_utf8(raw.out).unwrap(), shown, "in parts of {length}");
            }
        }
    }
}
