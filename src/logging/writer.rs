//! The thread that writes log lines. Only this thread waits for the reader of the log. Lines that cannot be written
//! are counted and dropped, and the thread continues with the next ones.

use std::io::{self, ErrorKind, Write};
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use super::queue::{LineQueue, Lines, LogBatch, capture_lines};
use crate::supervise::{Part, pass};

/// The wait before the next write to a non-blocking pipe that is full.
const FULL_PIPE_DELAY: Duration = Duration::from_millis(20);

/// Starts the thread, which writes to `out` until the queue ends.
///
/// # Errors
/// The system cannot start a thread.
pub fn start(out: impl Write + Send + 'static, capacity: usize) -> io::Result<Arc<LineQueue>> {
    let queue = Arc::new(LineQueue::new(capacity));
    let its = queue.clone();
    queue.failures().thread(Part::LogWriter, move || {
        let mut writer = LogLineWriter { queue: &its, out, torn: false };
        if !its.failures().run(Part::LogWriter, || writer.run()) {
            // This failure stops the server, and the log must say so: the writer runs once more, and not again if
            // that fails.
            its.count_taken_as_unwritten();
            its.failures().run(Part::LogWriter, || writer.run());
        }
        its.end();
    })?;
    Ok(queue)
}

struct LogLineWriter<'a, W> {
    queue: &'a LineQueue,
    out: W,
    /// Whether the last written line is incomplete.
    torn: bool,
}

impl<W: Write> LogLineWriter<'_, W> {
    fn run(&mut self) {
        let mut empty = Lines::default();
        while let Some(batch) = self.queue.next(std::mem::take(&mut empty)) {
            pass(Part::LogWriter);
            let LogBatch { unwritten, lines, overflowed } = batch;
            let reported = self.report_dropped(unwritten);
            let mut written = 0;
            if reported {
                written = self.put(&lines);
            }
            let lost = lines.ends.len() - written;
            if lost > 0 {
                self.queue.count_unwritten(lost as u64);
                self.queue.count_unreported(overflowed);
            } else if reported {
                self.report_dropped(overflowed);
            }
            empty = lines.clear();
        }
    }

    /// Reports dropped lines, if there are any. Returns whether that worked.
    fn report_dropped(&mut self, dropped: u64) -> bool {
        if dropped == 0 {
            return true;
        }
        let bytes = capture_lines(|| {
            tracing::warn!(
                dropped,
                "log lines were dropped because they could not be written in time"
            );
        });
        let line = Lines { ends: vec![bytes.len()], bytes };
        let written = line.bytes.is_empty() || self.put(&line) == 1;
        if !written {
            self.queue.count_unreported(dropped);
        }
        written
    }

    /// Writes lines until one cannot be written. Returns how many were written.
    fn put(&mut self, lines: &Lines) -> usize {
        if self.torn && !lines.bytes.is_empty() {
            if self.put_bytes(b"\n") == 0 {
                return 0;
            }
            self.torn = false;
        }
        let done = self.put_bytes(&lines.bytes);
        let whole = lines.ends.partition_point(|end| *end <= done);
        let last = whole.checked_sub(1).map_or(0, |last| lines.ends[last]);
        self.torn |= done > last;
        whole
    }

    /// Returns how many bytes could be written.
    fn put_bytes(&mut self, bytes: &[u8]) -> usize {
        let mut done = 0;
        while done < bytes.len() {
            match self.out.write(&bytes[done..]) {
                Ok(0) => break,
                Ok(more) => done += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => sleep(FULL_PIPE_DELAY),
                Err(_) => break,
            }
        }
        done
    }
}
