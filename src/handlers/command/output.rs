//! Copies the output of a process into the job's log, line by line, with limits on lines and on their length.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, BufReader};

use crate::engine::Context;
use crate::job::Stream;
use crate::job::shorten::truncated;

/// How many of the last lines are kept once the limit is reached.
const TAIL: usize = 100;

/// The output of a process. Both streams are written to it.
pub(super) struct Transcript<'a> {
    context: &'a Context,
    max_line: usize,
    state: Mutex<OutputState>,
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
    pub(super) fn new(context: &'a Context, max_lines: usize, max_line: usize) -> Self {
        let state = OutputState {
            room: max_lines,
            tail: VecDeque::new(),
            lost: 0,
            last_error: String::new(),
        };
        Transcript { context, max_line, state: Mutex::new(state) }
    }

    /// Reads a stream to its end. An error ends it, too, because it could only be logged here.
    pub(super) async fn follow(&self, stream: Stream, from: impl AsyncRead + Unpin) {
        let mut from = BufReader::new(from);
        loop {
            match self.next_line(&mut from).await {
                Ok(Some(line)) => self.add(stream, line),
                Ok(None) => return,
                Err(error) => {
                    self.context.log(format!("cannot read {}: {error}", stream.as_str()));
                    return;
                }
            }
        }
    }

    /// Logs the lines that were held back and how many were dropped. Returns the last line of standard error.
    pub(super) fn finish(self) -> String {
        let state = std::mem::replace(
            &mut *self.lock(),
            OutputState { room: 0, tail: VecDeque::new(), lost: 0, last_error: String::new() },
        );
        if state.lost > 0 {
            self.context.log(format!("{} lines of output were dropped", state.lost));
        }
        for (stream, line) in state.tail {
            self.context.log_on(stream, &line);
        }
        state.last_error
    }

    /// The next line without its end, truncated to the limit; `None` at the end of the stream.
    async fn next_line(
        &self,
        from: &mut (impl AsyncBufRead + Unpin),
    ) -> std::io::Result<Option<String>> {
        let mut line: Vec<u8> = Vec::new();
        let mut skipped = 0;
        loop {
            let chunk = from.fill_buf().await?;
            if chunk.is_empty() && line.is_empty() && skipped == 0 {
                return Ok(None);
            }
            let end = chunk.iter().position(|byte| *byte == b'\n');
            let part = &chunk[..end.unwrap_or(chunk.len())];
            // One byte more than the limit is read, to detect a "\r" or a longer line.
            let take = part.len().min((self.max_line + 1).saturating_sub(line.len()));
            line.extend_from_slice(&part[..take]);
            skipped += part.len() - take;
            let (used, over) = (part.len() + usize::from(end.is_some()), chunk.is_empty());
            from.consume(used);
            if end.is_some() || over {
                return Ok(Some(self.text(line, skipped)));
            }
        }
    }

    fn text(&self, mut line: Vec<u8>, skipped: usize) -> String {
        if skipped == 0 && line.last() == Some(&b'\r') {
            line.pop();
        }
        let text = String::from_utf8_lossy(&line);
        let kept = truncated(&text, self.max_line);
        if kept.len() < text.len() { format!("{kept}…") } else { kept.to_owned() }
    }

    fn add(&self, stream: Stream, line: String) {
        let mut state = self.lock();
        if stream == Stream::Stderr && !line.trim().is_empty() {
            state.last_error.clear();
            state.last_error.push_str(line.trim());
        }
        if state.room > 0 {
            state.room -= 1;
            self.context.log_on(stream, &line);
            return;
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handlers::testing::context;

    async fn lines(input: &[u8], max_lines: usize, max_line: usize) -> (Vec<String>, String) {
        let context = context("null", 1);
        let transcript = Transcript::new(&context, max_lines, max_line);
        transcript.follow(Stream::Stderr, input).await;
        let last = transcript.finish();
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
