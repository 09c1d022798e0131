//! The output of commands. When its reader has closed it, a command ends without a message and never panics.

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

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

/// Prints a message on standard error. Unlike `eprintln!`, it does not panic when standard error is closed.
pub fn say(text: &str) {
    let _unread = io::stderr().write_all(format!("{text}\n").as_bytes());
}
