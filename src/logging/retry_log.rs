//! Logs work that fails and is retried: one line when it begins to fail, and one line when it works again. Also
//! computes the wait before the next try.

use std::fmt::Display;
use std::time::Duration;

/// Logs the tries of one piece of work.
#[derive(Debug)]
pub struct RetryLog {
    /// The work, as the subject of a log line: `claiming jobs`.
    what: &'static str,
    /// The queue that the work is done for, if there is one loop for each queue.
    queue: Option<String>,
    /// The first and the longest wait.
    waits: (Duration, Duration),
    /// The wait before the next try; `None` while the work succeeds.
    wait: Option<Duration>,
    /// Failed tries since the last success.
    failed: u64,
}

impl RetryLog {
    /// Logs work that has not failed yet. The wait doubles from `first` up to
    /// `longest`.
    pub fn new(what: &'static str, first: Duration, longest: Duration) -> Self {
        RetryLog { what, queue: None, waits: (first, longest), wait: None, failed: 0 }
    }

    /// Adds the queue that the work is done for.
    pub fn of_queue(self, queue: &impl Display) -> Self {
        RetryLog { queue: Some(queue.to_string()), ..self }
    }

    /// Records a failed try, logs the first one, and returns the wait before the next try.
    pub fn failed(&mut self, error: &dyn Display) -> Duration {
        let RetryLog { what, waits: (first, longest), .. } = *self;
        if self.failed == 0 {
            tracing::error!(queue = self.queue, %error, "{what} failed, retrying");
        }
        self.failed += 1;
        let wait = self.wait.map_or(first, |last| last.saturating_mul(2)).min(longest);
        self.wait = Some(wait);
        wait
    }

    /// Records a successful try, and logs it if the one before had failed.
    pub fn worked(&mut self) {
        if self.wait.take().is_some() {
            let (what, failed_tries) = (self.what, std::mem::take(&mut self.failed));
            tracing::info!(queue = self.queue, failed_tries, "{what} works again");
        }
    }
}

/// For tests of what is logged.
#[cfg(test)]
pub(crate) mod testing {
    use std::io;
    use std::sync::{Arc, Mutex, OnceLock};

    use tracing::Dispatch;
    use tracing::subscriber::{DefaultGuard, NoSubscriber};

    /// What is logged on one thread.
    #[derive(Clone, Default)]
    pub(crate) struct LoggedLines(Arc<Mutex<Vec<u8>>>);

    impl LoggedLines {
        /// Catches what this thread logs, for as long as the guard lives.
        pub(crate) fn catch() -> (LoggedLines, DefaultGuard) {
            // With a single subscriber in the process, `tracing` caches whether the thread that logs a line first
            // wants it; a thread of another test could then disable the line for all. A second subscriber prevents
            // that.
            static SECOND: OnceLock<Dispatch> = OnceLock::new();
            SECOND.get_or_init(|| Dispatch::new(NoSubscriber::new()));
            let lines = LoggedLines::default();
            let writer = lines.clone();
            let plain = tracing_subscriber::fmt().with_ansi(false).without_time();
            let plain = plain.with_target(false).with_writer(move || writer.clone());
            (lines, tracing::subscriber::set_default(plain.finish()))
        }

        /// The lines until now that have this text.
        pub(crate) fn having(&self, text: &str) -> Vec<String> {
            let all = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
            all.lines().filter(|line| line.contains(text)).map(str::to_owned).collect()
        }
    }

    impl io::Write for LoggedLines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::LoggedLines;
    use super::*;

    #[test]
    fn a_failure_that_lasts_is_one_line_and_so_is_its_end_and_the_waits_grow() {
        let (lines, _guard) = LoggedLines::catch();
        let ms = Duration::from_millis;
        let mut log = RetryLog::new("claiming jobs", ms(100), ms(300)).of_queue(&"mail");
        for _ in 0..2 {
            log.worked();
            let waits = [1, 2, 3, 4].map(|_| log.failed(&"no space left"));
            assert_eq!(waits, [ms(100), ms(200), ms(300), ms(300)]);
            log.worked();
            log.worked();
        }
        RetryLog::new("the tick", ms(1), ms(1)).failed(&"closed");
        let row = [
            "ERROR claiming jobs failed, retrying queue=\"mail\" error=no space left",
            " INFO claiming jobs works again queue=\"mail\" failed_tries=4",
        ];
        let last = "ERROR the tick failed, retrying error=closed";
        assert_eq!(lines.having(""), [row[0], row[1], row[0], row[1], last]);
    }
}
