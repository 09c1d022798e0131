//! The pieces in the lines of exports of all formats. Formats 1 and 2 had a line for each setting of a queue.

use std::sync::Arc;

use serde::Deserialize;

use super::head::Head;
use crate::access::AccessRecord;
use crate::job::{
    Concurrency, DeclaredKind, Event, Job, QueueName, QueueSettings, RateRule, Schedule,
};
use crate::store::access_row;

/// A line of an export.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ExportedPiece {
    Head(Head),
    Queue(ExportedQueue),
    Schedule(Box<Schedule>),
    /// Since format 4.
    Kind(Arc<DeclaredKind>),
    /// Only in backups, since format 4.
    Access(#[serde(deserialize_with = "access_row::deserialize")] AccessRecord),
    Event(Event),
    Job(Box<Job>),
    End(ExportedTotals),
    /// A paused queue, up to format 2.
    Paused(QueueName),
    /// The concurrency limit of a queue, up to format 2.
    Concurrency(QueueName, Concurrency),
    /// The rate limit of a queue, up to format 2.
    RateLimit(QueueName, RateRule),
}

/// A queue with its settings. The members are listed here, because a struct with flattened fields cannot refuse unknown
/// ones.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExportedQueue {
    pub name: QueueName,
    paused: bool,
    concurrency: Option<Concurrency>,
    rate_limit: Option<RateRule>,
}

impl ExportedQueue {
    pub fn settings(&self) -> QueueSettings {
        let ExportedQueue { name: _, paused, concurrency, rate_limit } = *self;
        QueueSettings { paused, concurrency, rate_limit }
    }
}

/// The numbers of lines.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExportedTotals {
    pub jobs: u64,
    pub events: u64,
    #[serde(default)]
    pub queues: u64,
    #[serde(default)]
    pub schedules: u64,
    #[serde(default)]
    pub kinds: u64,
    #[serde(default)]
    pub access: u64,
    /// The lines for settings of queues, up to format 2.
    #[serde(default)]
    pub paused: u64,
    #[serde(default)]
    pub concurrency: u64,
    #[serde(default)]
    pub rate_limits: u64,
}

#[cfg(test)]
mod tests {
    use super::super::{Piece, Totals};
    use super::*;
    use crate::job::RateLimit;

    fn piece(line: &str) -> Piece {
        Piece::from_line(line.as_bytes()).unwrap()
    }

    #[test]
    fn a_queue_is_one_line_with_all_its_settings() {
        let limit: RateLimit = "100/1m".parse().unwrap();
        let settings = QueueSettings {
            paused: true,
            concurrency: Some(Concurrency::clamped(3)),
            rate_limit: Some(RateRule::Limit(limit)),
        };
        let mail = Piece::Queue { name: QueueName::parse("mail").unwrap(), settings };
        let line = String::from_utf8(mail.to_line().unwrap()).unwrap();
        let expected = r#"{"queue":{"name":"mail","paused":true,"concurrency":3,"rate_limit":"#;
        assert!(line.starts_with(expected), "{line}");
        assert_eq!(piece(&line), mail);
    }

    #[test]
    fn the_lines_of_older_formats_become_pieces_of_a_queue() {
        let name = || QueueName::parse("mail").unwrap();
        let none = QueueSettings::default();
        let of = |settings| Piece::Queue { name: name(), settings };
        let paused = of(QueueSettings { paused: true, ..none });
        assert_eq!(piece(r#"{"paused":"mail"}"#), paused);
        let limited = of(QueueSettings { concurrency: Some(Concurrency::clamped(3)), ..none });
        assert_eq!(piece(r#"{"concurrency":["mail",3]}"#), limited);
        let rated = of(QueueSettings { rate_limit: Some(RateRule::Unlimited), ..none });
        assert_eq!(piece(r#"{"rate_limit":["mail","none"]}"#), rated);
        let end = r#"{"end":{"jobs":1,"events":2,"paused":3,"concurrency":4,"rate_limits":5}}"#;
        let totals = Totals { jobs: 1, events: 2, queues: 12, schedules: 0, kinds: 0, access: 0 };
        assert_eq!(piece(end), Piece::End(totals));
    }
}
