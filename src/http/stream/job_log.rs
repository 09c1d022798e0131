//! `GET /api/v1/jobs/{id}/log`: the log lines of a job as a JSON document, as plain text, or as one JSON object per
//! line. With `follow`, new lines are streamed until the job is final.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tokio::time::sleep;

use super::admission::SubscriberPermit;
use super::feed::{Delivery, Feed};
use super::poll::accepts;
use super::reader::StreamReader;
use super::streaming_body::streaming_response;
use crate::engine::{Batch, Engine, Transport};
use crate::http::access::access_watch::{AccessWatch, no_such_link};
use crate::http::access::job_scope::JobScope;
use crate::http::api::extract::PathId;
use crate::http::api::query::{LogQuery, log_query};
use crate::http::view::{LogView, NumberedLineView, to_json};
use crate::http::{Api, Problem, json};
use crate::job::{Change, Fact, Job, JobId, LinkSubject, LogLine};

/// Returns the log of one job, beginning with the line after `after`.
pub async fn log(
    State(api): State<Api>,
    reader: StreamReader,
    PathId(id): PathId,
    headers: HeaderMap,
    RawQuery(text): RawQuery,
) -> Result<Response, Problem> {
    answer(api, reader, id, &headers, text.as_deref()).await
}

/// `GET /shared/{link}/log`: the same for the job of a share link. That of a queue has no log.
///
/// # Errors
/// As for the log of a job.
pub async fn shared_log(
    State(api): State<Api>,
    reader: StreamReader,
    headers: HeaderMap,
    RawQuery(text): RawQuery,
) -> Result<Response, Problem> {
    match reader.scope {
        JobScope::Shared(LinkSubject::Job(id)) => {
            answer(api, reader, id, &headers, text.as_deref()).await
        }
        JobScope::Shared(LinkSubject::Queue(_))
        | JobScope::Everything
        | JobScope::AllJobs
        | JobScope::Only(_) => Err(no_such_link()),
    }
}

async fn answer(
    api: Api,
    reader: StreamReader,
    id: JobId,
    headers: &HeaderMap,
    query: Option<&str>,
) -> Result<Response, Problem> {
    let LogQuery { after, follow, download } = log_query(query)?;
    let (job, cursor) = api.engine.job(id).await?;
    let StreamReader { peer, scope, watch } = reader;
    let job = job.filter(|job| scope.allows(id, &job.labels));
    let job = job.ok_or_else(|| Problem::no_such_job(&id.to_string()))?;
    let format = if accepts(headers, "application/x-ndjson") {
        JobLogFormat::Objects
    } else if follow || download || accepts(headers, "text/plain") {
        JobLogFormat::Text
    } else {
        return Ok(json(&LogView::of(&job, after, cursor)));
    };
    let mut printer = Printer { format, last_line: after };
    let mut text = printer.stored_lines(&job);
    let mut response = if follow && !job.status.state.is_final() {
        let follower = Follower {
            _permit: api.admit(peer, Transport::Log)?,
            feed: api.feed(Some(cursor)),
            engine: api.engine,
            id,
            scope,
            watch,
            first_chunk: text,
            lines: job.log_dropped + job.log.len() as u64,
            seq: job.seq,
            heartbeat: api.limits.subscriber_mark,
            printer,
            ended: false,
        };
        follower.into_response()
    } else {
        if follow {
            text += &printer.end(job.status.state.as_str());
        }
        ([(header::CONTENT_TYPE, format.content_type())], text).into_response()
    };
    if download {
        let name = format!("attachment; filename=\"{id}.log\"");
        if let Ok(name) = HeaderValue::try_from(name) {
            response.headers_mut().insert(header::CONTENT_DISPOSITION, name);
        }
    }
    Ok(response)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum JobLogFormat {
    /// Each line as it was written.
    Text,
    /// One JSON object per line: `{"line","at","stream","text"}`, `{"dropped"}`, and at last `{"end"}`.
    Objects,
}

impl JobLogFormat {
    fn content_type(self) -> &'static str {
        match self {
            JobLogFormat::Text => "text/plain; charset=utf-8",
            JobLogFormat::Objects => "application/x-ndjson",
        }
    }
}

/// Formats log lines, each of them once, and notes where lines were dropped.
struct Printer {
    format: JobLogFormat,
    /// The number of the last line that was formatted.
    last_line: u64,
}

#[derive(Serialize)]
struct DroppedLine {
    dropped: u64,
}

#[derive(Serialize)]
struct EndLine<'a> {
    end: &'a str,
}

impl Printer {
    /// Formats the stored lines of a job that are new.
    fn stored_lines(&mut self, job: &Job) -> String {
        let mut out = String::new();
        for (number, line) in (job.log_dropped + 1..).zip(&job.log) {
            self.line(&mut out, number, line);
        }
        out
    }

    /// Formats one line, unless it was formatted before.
    fn line(&mut self, out: &mut String, number: u64, line: &LogLine) {
        if number <= self.last_line {
            return;
        }
        let dropped = number - self.last_line - 1;
        self.last_line = number;
        match self.format {
            JobLogFormat::Text => {
                if dropped > 0 {
                    out.push_str(&format!("… {dropped} lines were dropped\n"));
                }
                out.push_str(&line.text);
            }
            JobLogFormat::Objects => {
                if dropped > 0 {
                    out.push_str(&to_json(&DroppedLine { dropped }));
                    out.push('\n');
                }
                out.push_str(&to_json(&NumberedLineView::of(number, line)));
            }
        }
        out.push('\n');
    }

    /// Formats the end of the log: the final state of the job, or the reason why there are no more lines.
    fn end(&self, end: &str) -> String {
        match self.format {
            JobLogFormat::Text => String::new(),
            JobLogFormat::Objects => to_json(&EndLine { end }) + "\n",
        }
    }

    /// Returns a blank line at intervals, so that a client notices a dead connection. Plain text has no heartbeat, since a
    /// blank line would be a line of the log.
    async fn heartbeat(&self, every: Duration) -> String {
        match self.format {
            JobLogFormat::Text => std::future::pending().await,
            JobLogFormat::Objects => {
                sleep(every).await;
                "\n".to_owned()
            }
        }
    }
}

/// One client that follows the log of a job.
struct Follower {
    engine: Engine,
    id: JobId,
    /// The jobs that exist for the client.
    scope: JobScope,
    /// The credentials of the client, whose end ends the log.
    watch: AccessWatch,
    feed: Feed,
    printer: Printer,
    /// The stored lines, which are sent first.
    first_chunk: String,
    /// The number of lines that the job has logged so far.
    lines: u64,
    /// The last event of the job that is included in `lines`.
    seq: u64,
    heartbeat: Duration,
    ended: bool,
    _permit: SubscriberPermit,
}

impl Follower {
    fn into_response(self) -> Response {
        let content_type = self.printer.format.content_type();
        let body = futures_util::stream::unfold(self, async |mut follower| {
            let text = follower.next().await?;
            Some((Ok::<_, Infallible>(Bytes::from(text)), follower))
        });
        streaming_response(content_type, body)
    }

    /// Returns the next chunk of the body; `None` after the end.
    async fn next(&mut self) -> Option<String> {
        if !self.first_chunk.is_empty() {
            return Some(std::mem::take(&mut self.first_chunk));
        }
        while !self.ended {
            let text = tokio::select! {
                delivery = self.feed.next() => match delivery {
                    Ok(Delivery::Events { batch, after }) => self.take(&batch, after),
                    Ok(Delivery::Gap { .. }) => self.reload().await,
                    Ok(Delivery::Ended) => self.end("stopping"),
                    Err(error) => {
                        tracing::warn!(%error, "reading the event log for a followed job log failed");
                        self.end("unreadable")
                    }
                },
                () = self.watch.ended() => self.end("unauthorized"),
                text = self.printer.heartbeat(self.heartbeat) => text,
            };
            if !text.is_empty() {
                return Some(text);
            }
        }
        None
    }

    /// Formats the new lines in a batch.
    fn take(&mut self, batch: &Batch, after: u64) -> String {
        let mut out = String::new();
        for event in batch.events.iter().filter(|event| event.seq > after) {
            match &event.fact {
                Fact::Job { id, labels, state, change, .. }
                    if *id == self.id && event.seq > self.seq =>
                {
                    if !self.scope.allows(*id, labels) {
                        return out + &self.end("unauthorized"); // it was moved to a queue of others
                    }
                    if let Change::Logged(lines) = change {
                        for line in lines {
                            self.lines += 1;
                            self.printer.line(&mut out, self.lines, line);
                        }
                    }
                    if *change == Change::Deleted {
                        return out + &self.end("deleted");
                    }
                    if state.is_final() {
                        return out + &self.end(state.as_str());
                    }
                }
                Fact::Job { .. }
                | Fact::Queue { .. }
                | Fact::Schedule { .. }
                | Fact::Access { .. }
                | Fact::Kind { .. }
                | Fact::Worker { .. } => {}
            }
        }
        out
    }

    /// Reads the lines from the stored job, because the events with them have been removed from the log.
    async fn reload(&mut self) -> String {
        match self.engine.job(self.id).await {
            Ok((Some(job), _)) if !self.scope.allows(job.id, &job.labels) => {
                self.end("unauthorized")
            }
            Ok((Some(job), _)) => {
                let out = self.printer.stored_lines(&job);
                self.lines = job.log_dropped + job.log.len() as u64;
                self.seq = job.seq;
                let state = job.status.state;
                if state.is_final() { out + &self.end(state.as_str()) } else { out }
            }
            Ok((None, _)) => self.end("deleted"),
            Err(_) => self.end("unreadable"),
        }
    }

    fn end(&mut self, end: &str) -> String {
        self.ended = true;
        self.printer.end(end)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::admission::Admission;
    use super::*;
    use crate::http::HttpLimits;
    use crate::http::tests::support::Server;
    use crate::job::{Epoch, Event, Kind, Labels, QueueName, State, Stream, Time};

    #[tokio::test]
    async fn lines_that_the_record_held_already_are_not_sent_again() {
        let server = Server::start().await;
        let id = JobId::from_u128(7);
        let kind = Kind::parse("echo").unwrap();
        let labels = Labels { queue: QueueName::default(), kind, tags: Box::new([]) };
        let labels = Arc::new(labels);
        let said = |seq: u64, text: &str| {
            let at = Time::default();
            let line = LogLine { at, stream: Stream::Log, text: text.into() };
            let (labels, change) = (labels.clone(), Change::Logged(vec![line]));
            let fact = Fact::Job { id, labels, state: State::Running, attempt: 1, change };
            Event { seq, at, by: None, fact }
        };
        let mut follower = Follower {
            feed: Feed::new(server.engine.clone(), server.engine.live(), None),
            engine: server.engine.clone(),
            id,
            scope: JobScope::default(),
            watch: AccessWatch::default(),
            printer: Printer { format: JobLogFormat::Text, last_line: 2 },
            first_chunk: String::new(),
            lines: 2,
            seq: 5,
            heartbeat: Duration::from_secs(10),
            ended: false,
            _permit: Admission::default()
                .admit(
                    &server.engine,
                    &HttpLimits::default(),
                    [127, 0, 0, 1].into(),
                    Transport::Log,
                )
                .unwrap(),
        };
        // The record was read with the event 5 in it, although the feed begins before it.
        let events = [said(4, "one"), said(5, "two"), said(6, "three")];
        let batch = Batch::new(Epoch(1), events.into());
        assert_eq!(follower.take(&batch, 3), "three\n");
        assert_eq!((follower.lines, follower.printer.last_line), (3, 3));
    }

    #[test]
    fn lines_that_were_not_kept_are_counted() {
        let line =
            |text: &str| LogLine { at: Time::default(), stream: Stream::Log, text: text.into() };
        let mut printer = Printer { format: JobLogFormat::Text, last_line: 0 };
        let mut out = String::new();
        printer.line(&mut out, 4, &line("four"));
        printer.line(&mut out, 4, &line("four"));
        assert_eq!(out, "… 3 lines were dropped\nfour\n");
        let mut printer = Printer { format: JobLogFormat::Objects, last_line: 7 };
        let mut out = String::new();
        printer.line(&mut out, 9, &line("nine"));
        assert!(out.starts_with("{\"dropped\":1}\n{\"line\":9,"), "{out}");
    }
}
