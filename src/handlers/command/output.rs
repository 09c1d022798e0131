//! Copies the output of a process into the job's log, line by line, with limits on lines and on their length. A line is
//! read only when the log has room for it, so a program that writes faster than its lines can be stored waits at its pipe.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::sync::watch;

use crate::engine::AttemptContext;
use crate::job::Stream;
use crate::job::shorten::truncated;

/// How many of the last lines are kept once the limit is reached.
const TAIL: usize = 100;
/// The size of the buffer for one stream.
const BUFFER_BYTES: usize = 64 * 1_024;
/// How many bytes of each stream are read after the process has ended: what was in the pipe, which holds at most a
/// mebibyte unless root has raised the limit. Only a process that has left the group can write more than that.
const MAX_BYTES_AFTER_END: usize = 1_024 * 1_024 + BUFFER_BYTES;

/// The output of a process. Both streams are written to it.
pub(super) struct Transcript<'a> {
    context: &'a AttemptContext,
    max_line: usize,
    state: Mutex<OutputState>,
    /// Set once the process has ended and its group is killed: how long a stream may then be silent before it is not
    /// read any more.
    ended: watch::Sender<Option<Duration>>,
}

struct OutputState {
    /// Lines that may still be logged immediately.
    room: usize,
    /// The newest lines after those.
    tail: VecDeque<(Stream, String)>,
    /// Lines that were dropped.
    lost: u64,
    /// The last line on standard error that was not empty, which usually says why the process failed.
    last_error: String,
}

impl<'a> Transcript<'a> {
    /// An empty transcript.
    pub(super) fn new(context: &'a AttemptContext, max_lines: usize, max_line: usize) -> Self {
        let state = OutputState {
            room: max_lines,
            tail: VecDeque::new(),
            lost: 0,
            last_error: String::new(),
        };
        Transcript { context, max_line, state: Mutex::new(state), ended: watch::Sender::new(None) }
    }

    /// Makes [`Transcript::follow`] read what is still in the pipes and then end, even if a process that has left the
    /// group holds them open: a stream that is silent for this long is not read any more.
    pub(super) fn process_ended(&self, silence: Duration) {
        self.ended.send_replace(Some(silence));
    }

    /// Resolves when the process has ended and the time after that has passed; each call measures it anew.
    pub(super) async fn silence(&self) {
        silence(&mut self.ended.subscribe()).await;
    }

    /// Reads a stream to its end. An error ends it, too, because it could only be logged here.
    pub(super) async fn follow(&self, stream: Stream, from: impl AsyncRead + Unpin) {
        let mut from = BufReader::with_capacity(BUFFER_BYTES, from);
        let mut ended = self.ended.subscribe();
        let mut left_after_end = MAX_BYTES_AFTER_END;
        let mut line = PartialLine::default();
        loop {
            let chunk = tokio::select! {
                biased;
                chunk = from.fill_buf() => chunk,
                () = silence(&mut ended) => return self.add_last(stream, line).await,
            };
            let chunk = match chunk {
                Ok([]) => return self.add_last(stream, line).await,
                Ok(chunk) => chunk,
                Err(error) => {
                    self.add_last(stream, line).await;
                    self.context.log(format!("cannot read {}: {error}", stream.as_str()));
                    return;
                }
            };
            if ended.borrow().is_some() {
                left_after_end = left_after_end.saturating_sub(chunk.len());
                if left_after_end == 0 {
                    self.add_last(stream, line).await;
                    self.context.log(format!(
                        "{} is not read any more: a process that has left the group keeps writing to it",
                        stream.as_str()
                    ));
                    return;
                }
            }
            let end = memchr::memchr(b'\n', chunk);
            line.push(&chunk[..end.unwrap_or(chunk.len())], self.max_line);
            let used = end.map_or(chunk.len(), |end| end + 1);
            from.consume(used);
            if end.is_some() {
                self.add(stream, std::mem::take(&mut line)).await;
            }
        }
    }

    /// Adds a line that did not end with a line feed, unless there is none.
    async fn add_last(&self, stream: Stream, line: PartialLine) {
        if !line.is_empty() {
            self.add(stream, line).await;
        }
    }

    /// Logs the lines that were held back and how many were dropped. Returns the last line of standard error.
    pub(super) async fn finish(self) -> String {
        let OutputState { tail, lost, last_error, .. } =
            self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        if lost > 0 {
            self.context.log_room().await;
            self.context.log(format!("{lost} lines of output were dropped"));
        }
        for (stream, line) in tail {
            self.context.log_room().await;
            self.context.log_on(stream, &line);
        }
        last_error
    }

    fn text(&self, line: PartialLine) -> String {
        let PartialLine { bytes: mut line, skipped } = line;
        if skipped == 0 && line.last() == Some(&b'\r') {
            line.pop();
        }
        let text = String::from_utf8_lossy(&line);
        let kept = truncated(&text, self.max_line);
        if kept.len() < text.len() { format!("{kept}…") } else { kept.to_owned() }
    }

    async fn add(&self, stream: Stream, line: PartialLine) {
        let line = self.text(line);
        let is_logged = {
            let mut state = self.lock();
            if stream == Stream::Stderr && !line.trim().is_empty() {
                state.last_error.clear();
                state.last_error.push_str(line.trim());
            }
            let is_logged = state.room > 0;
            state.room = state.room.saturating_sub(1);
            is_logged
        };
        if is_logged {
            self.context.log_room().await;
            return self.context.log_on(stream, &line);
        }
        let mut state = self.lock();
        if state.tail.len() == TAIL {
            state.tail.pop_front();
            state.lost += 1;
        }
        state.tail.push_back((stream, line));
    }

    fn lock(&self) -> MutexGuard<'_, OutputState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The beginning of a line, which is truncated as it is read.
#[derive(Default)]
struct PartialLine {
    bytes: Vec<u8>,
    /// Bytes that did not fit.
    skipped: usize,
}

impl PartialLine {
    fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.skipped == 0
    }

    /// Adds bytes. One more than the limit is kept, to detect a "\r" or a longer line.
    fn push(&mut self, part: &[u8], max_line: usize) {
        let take = part.len().min((max_line + 1).saturating_sub(self.bytes.len()));
        self.bytes.extend_from_slice(&part[..take]);
        self.skipped += part.len() - take;
    }
}

/// Resolves when the process has ended and the time after that has passed; it begins anew with each call.
async fn silence(ended: &mut watch::Receiver<Option<Duration>>) {
    let limit = ended.wait_for(Option::is_some).await.ok().and_then(|limit| *limit);
    match limit {
        Some(limit) => tokio::time::sleep(limit).await,
        None => std::future::pending().await, // the transcript outlives its readers
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handlers::testing::context;

    async fn lines(input: &[u8], max_lines: usize, max_line: usize) -> (Vec<String>, String) {
        let context = context("null", 1);
        let transcript = Transcript::new(&context, max_lines, max_line);
        transcript.follow(Stream::Stderr, input).await;
        let last = transcript.finish().await;
        (context.take_notes().lines.into_iter().map(|line| line.text.into()).collect(), last)
    }

    #[tokio::test]
    async fn lines_come_without_their_ends() {
        let (lines, last) = lines(b"one\r\n\ntwo \xff\nthree", 10, 100).await;
        assert_eq!(lines, ["one", "", "two \u{fffd}", "three"]);
        assert_eq!(last, "three");
        assert!(self::lines(b"", 10, 100).await.0.is_empty());
    }

    #[tokio::test]
    async fn a_long_line_is_cut_and_the_next_one_is_whole() {
        let mut input = "ä".repeat(50_000).into_bytes();
        input.extend_from_slice(b"\nexactly10\r\nexactly10!\nexactly10!!\n");
        let (lines, _) = lines(&input, 10, 10).await;
        assert_eq!(lines, ["äääää…", "exactly10", "exactly10!", "exactly10!…"]);
    }

    #[tokio::test]
    async fn beyond_the_bound_the_last_lines_are_kept() {
        let input: String = (1..=1_000).map(|n| format!("{n}\n")).collect();
        let (lines, last) = lines(input.as_bytes(), 5, 100).await;
        assert_eq!(lines[..5], ["1", "2", "3", "4", "5"]);
        assert_eq!(lines[5], "895 lines of output were dropped");
        assert_eq!((lines[6].as_str(), lines.len(), last.as_str()), ("901", 106, "1000"));
    }
}
