//! Where commands write. Nobody may be reading: then a command ends, quietly, and never panics.

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// How often it is looked whether somebody still reads.
const LOOK: Duration = Duration::from_secs(1);

static CLOSED: AtomicBool = AtomicBool::new(false);

/// Standard output, which remembers that its reader has gone.
#[derive(Debug, Default)]
pub struct Output(());

impl Output {
    /// Whether somebody wrote to it after its reader had gone (`cortado stats | head -1`). Whoever ends for that
    /// reason has nothing to say about it.
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

/// Resolves when whoever read standard output has gone, also when there is nothing to write to it.
pub async fn reader_gone() {
    let mut look = tokio::time::interval(LOOK);
    loop {
        look.tick().await;
        let stdout = io::stdout();
        let mut files = [PollFd::new(stdout.as_fd(), PollFlags::empty())];
        let told = poll(&mut files, PollTimeout::ZERO).is_ok_and(|count| count > 0);
        if told && files[0].revents().is_some_and(|is| is.contains(PollFlags::POLLERR)) {
            return;
        }
    }
}

fn notice(error: &io::Error) {
    if error.kind() == io::ErrorKind::BrokenPipe {
        CLOSED.store(true, Ordering::Relaxed);
    }
}

/// Tells people something on standard error. Unlike `eprintln!` it does not panic when nobody can read it.
pub fn say(text: &str) {
    let _unread = io::stderr().write_all(format!("{text}\n").as_bytes());
}
