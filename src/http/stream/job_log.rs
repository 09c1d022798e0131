//! `GET /api/v1/jobs/{id}/log`: a job's lines, as JSON, as plain text or as one JSON object a line; with
//! `follow` also the lines to come, until the job is final.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{ConnectInfo, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tokio::time::sleep;

use super::feed::{Delivery, Feed};
use super::poll::accepts;
use super::streaming_body::lasting;
use crate::engine::{Batch, Engine, Transport};
use crate::http::api::extract::PathId;
use crate::http::api::query::{LogQuery, log_query};
use crate::http::view::{LogView, NumberedView, to_json};
use crate::http::{Api, Problem, Seat, json};
use crate::job::{Change, Fact, Job, JobId, LogLine};

/// The log of one job, from the line after `after` on.
pub async fn log(
    State(api): State<Api>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    PathId(id): PathId,
    headers: HeaderMap,
    RawQuery(text): RawQuery,
) -> Result<Response, Problem> {
    let LogQuery { after, follow, download } = log_query(text.as_deref())?;
    let (job, cursor) = api.engine.job(id).await?;
    let job = job.ok_or_else(|| Problem::no_such_job(&id.to_string()))?;
    let format = if accepts(&headers, "application/x-ndjson") {
        Format::Objects
    } else if follow || download || accepts(&headers, "text/plain") {
        Format::Text
    } else {
        return Ok(json(&LogView::of(&job, after, cursor)));
    };
    let mut printer = Printer { format, told: after };
    let mut text = printer.stored(&job);
    let mut response = if follow && !job.status.state.is_final() {
        let follower = Follower {
            _seat: api.admit(peer, Transport::Log)?,
            feed: api.feed(Some(cursor)),
            engine: api.engine,
            id,
            first: text,
            lines: job.log_dropped + job.log.len() as u64,
            seq: job.seq,
            heartbeat: api.limits.subscriber_mark,
            printer,
            over: false,
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
enum Format {
    /// Each line as it was said.
    Text,
    /// One JSON object a line: `{"line","at","stream","text"}`, `{"dropped"}`, and last `{"end"}`.
    Objects,
}

impl Format {
    fn content_type(self) -> &'static str {
        match self {
            Format::Text => "text/plain; charset=utf-8",
            Format::Objects => "application/x-ndjson",
        }
    }
}

/// Writes lines, each once, and tells of those that were not kept.
struct Printer {
    format: Format,
    /// The number of the last line written.
    told: u64,
}

#[derive(Serialize)]
struct Dropped {
    dropped: u64,
}

#[derive(Serialize)]
struct End<'a> {
    end: &'a str,
}

impl Printer {
    /// What the job's record holds beyond what was written.
    fn stored(&mut self, job: &Job) -> String {
        let mut out = String::new();
        for (number, line) in (job.log_dropped + 1..).zip(&job.log) {
            self.line(&mut out, number, line);
        }
        out
    }

    fn line(&mut self, out: &mut String, number: u64, line: &LogLine) {
        if number <= self.told {
            return;
        }
        let dropped = number - self.told - 1;
        self.told = number;
        match self.format {
            Format::Text => {
                if dropped > 0 {
                    out.push_str(&format!("… {dropped} lines were not kept\n"));
                }
                out.push_str(&line.text);
            }
            Format::Objects => {
                if dropped > 0 {
                    out.push_str(&to_json(&Dropped { dropped }));
                    out.push('\n');
                }
                out.push_str(&to_json(&NumberedView::of(number, line)));
            }
        }
        out.push('\n');
    }

    /// The last word: the state of the job, or why there is no more.
    fn end(&self, end: &str) -> String {
        match self.format {
            Format::Text => String::new(),
            Format::Objects => to_json(&End { end }) + "\n",
        }
    }

    /// What shows that the connection lives; plain text has nothing that says nothing.
    async fn heartbeat(&self, every: Duration) -> String {
        match self.format {
            Format::Text => std::future::pending().await,
            Format::Objects => {
                sleep(every).await;
                "\n".to_owned()
            }
        }
    }
}

/// One reader of a log that still grows.
struct Follower {
    engine: Engine,
    id: JobId,
    feed: Feed,
    printer: Printer,
    /// What the record held at the beginning.
    first: String,
    /// Lines of the job so far.
    lines: u64,
    /// The last event of the job that `lines` counts.
    seq: u64,
    heartbeat: Duration,
    over: bool,
    _seat: Seat,
}

impl Follower {
    fn into_response(self) -> Response {
        let content_type = self.printer.format.content_type();
        let body = futures_util::stream::unfold(self, async |mut follower| {
            let text = follower.next().await?;
            Some((Ok::<_, Infallible>(Bytes::from(text)), follower))
        });
        lasting(content_type, body)
    }

    /// What to send next; `None` after the end.
    async fn next(&mut self) -> Option<String> {
        if !self.first.is_empty() {
            return Some(std::mem::take(&mut self.first));
        }
        while !self.over {
            let text = tokio::select! {
                delivery = self.feed.next() => match delivery {
                    Ok(Delivery::Events { batch, after }) => self.take(&batch, after),
                    Ok(Delivery::Gap { .. }) => self.look_again().await,
                    Ok(Delivery::Ended) => self.end("stopping"),
                    Err(error) => {
                        tracing::warn!(%error, "cannot read the event log for a job's log");
                        self.end("unreadable")
                    }
                },
                text = self.printer.heartbeat(self.heartbeat) => text,
            };
            if !text.is_empty() {
                return Some(text);
            }
        }
        None
    }

    fn take(&mut self, batch: &Batch, after: u64) -> String {
        let mut out = String::new();
        for event in batch.events.iter().filter(|event| event.seq > after) {
            match &event.fact {
                Fact::Job { id, state, change, .. } if *id == self.id && event.seq > self.seq => {
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
                Fact::Job { .. } | Fact::Queue { .. } | Fact::Schedule { .. } => {}
            }
        }
        out
    }

    /// The log of events was trimmed before we read it: the record has what was kept.
    async fn look_again(&mut self) -> String {
        match self.engine.job(self.id).await {
            Ok((Some(job), _)) => {
                let out = self.printer.stored(&job);
                self.lines = job.log_dropped + job.log.len() as u64;
                self.seq = job.seq;
                match job.status.state.is_final() {
                    true => out + &self.end(job.status.state.as_str()),
                    false => out,
                }
            }
            Ok((None, _)) => self.end("deleted"),
            Err(_) => self.end("unreadable"),
        }
    }

    fn end(&mut self, end: &str) -> String {
        self.over = true;
        self.printer.end(end)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::http::Limits;
    use crate::http::stream::admission::Places;
    use crate::http::tests::support::Server;
    use crate::job::{Epoch, Event, Kind, Labels, QueueName, State, Stream, Time};

    #[tokio::test]
    async fn lines_that_the_record_held_already_are_not_told_again() {
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
            Event { seq, at, fact }
        };
        let mut follower = Follower {
            feed: Feed::new(server.engine.clone(), server.engine.live(), None),
            engine: server.engine.clone(),
            id,
            printer: Printer { format: Format::Text, told: 2 },
            first: String::new(),
            lines: 2,
            seq: 5,
            heartbeat: Duration::from_secs(10),
            over: false,
            _seat: (
                Arc::new(Places::default())
                    .admit([127, 0, 0, 1].into(), &Limits::default())
                    .unwrap(),
                server.engine.subscriber_counts().register(Transport::Log),
            ),
        };
        // The record was read with the event 5 in it, although the feed begins before it.
        let events = [said(4, "one"), said(5, "two"), said(6, "three")];
        let batch = Batch::new(Epoch(1), events.into());
        assert_eq!(follower.take(&batch, 3), "three\n");
        assert_eq!((follower.lines, follower.printer.told), (3, 3));
    }

    #[test]
    fn lines_that_were_not_kept_are_told_of() {
        let line =
            |text: &str| LogLine { at: Time::default(), stream: Stream::Log, text: text.into() };
        let mut printer = Printer { format: Format::Text, told: 0 };
        let mut out = String::new();
        printer.line(&mut out, 4, &line("four"));
        printer.line(&mut out, 4, &line("four"));
        assert_eq!(out, "… 3 lines were not kept\nfour\n");
        let mut printer = Printer { format: Format::Objects, told: 7 };
        let mut out = String::new();
        printer.line(&mut out, 9, &line("nine"));
        assert!(out.starts_with("{\"dropped\":1}\n{\"line\":9,"), "{out}");
    }
}
