//! A whole store as a stream of pieces, the same for every store, and the pieces as lines of JSON. Backups, exports and
//! imports consist of them.

mod exported;
mod from_line;
mod head;

use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use self::exported::{ExportedPiece, ExportedTotals};
pub use self::head::Head;
use super::formats::EXPORT;
use super::{StoreError, access_row};
use crate::access::AccessRecord;
use crate::job::{DeclaredKind, Event, Job, QueueName, QueueSettings, Schedule};

/// The format of exports that this version writes, and the newest that it reads.
pub const FORMAT: u32 = EXPORT.newest as u32;

/// A store as of one cursor. While it exists, the store keeps what it needs. A reader that reads nothing for a minute,
/// or reads for longer than `StoreLimits::max_export`, loses its snapshot.
#[async_trait]
pub trait Snapshot: Send {
    /// The next pieces, a bounded number, in this order: the head, the queues with settings by name, the schedules by
    /// name, the declared kinds by name, the users, tokens, sessions and share links, the events oldest first, the finished jobs in the order of their ends, the other jobs by id, the end.
    /// Nothing after the end.
    async fn next(&mut self) -> Result<Vec<Piece>, StoreError>;
}

/// One piece of a snapshot; one line of an export.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", from = "ExportedPiece")]
pub enum Piece {
    /// The head of the snapshot, which comes first.
    Head(Head),
    /// A queue and what was set for it at run time.
    Queue {
        /// Its name.
        name: QueueName,
        /// Its settings. In exports of formats 1 and 2 each setting is a piece of its own.
        #[serde(flatten)]
        settings: QueueSettings,
    },
    /// An event of the log.
    Event(Event),
    /// The whole record of a job. A running job has no lease in a snapshot.
    Job(Box<Job>),
    /// The end, which comes last. Without it the snapshot is incomplete.
    End(Totals),
    /// A schedule.
    Schedule(Box<Schedule>),
    /// A declared kind.
    Kind(Arc<DeclaredKind>),
    /// A user, token, session or share link, or the key that signs share links. Only backups have these.
    Access(#[serde(serialize_with = "access_row::serialize")] AccessRecord),
}

/// The numbers of pieces.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// The number of jobs.
    pub jobs: u64,
    /// The number of events.
    pub events: u64,
    /// The number of pieces for queues.
    pub queues: u64,
    /// The number of schedules.
    pub schedules: u64,
    /// The number of declared kinds. Exports without any do not mention it.
    #[serde(skip_serializing_if = "is_zero")]
    pub kinds: u64,
    /// The number of users, tokens, sessions and share links. An export has none.
    #[serde(skip_serializing_if = "is_zero")]
    pub access: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Totals {
    /// Counts a piece.
    pub fn count(&mut self, piece: &Piece) {
        match piece {
            Piece::Job(_) => self.jobs += 1,
            Piece::Event(_) => self.events += 1,
            Piece::Queue { .. } => self.queues += 1,
            Piece::Schedule(_) => self.schedules += 1,
            Piece::Kind(_) => self.kinds += 1,
            Piece::Access(_) => self.access += 1,
            Piece::Head(_) | Piece::End(_) => {}
        }
    }
}

impl From<ExportedPiece> for Piece {
    fn from(line: ExportedPiece) -> Piece {
        let none = QueueSettings::default();
        match line {
            ExportedPiece::Head(head) => Piece::Head(head),
            ExportedPiece::Queue(queue) => {
                Piece::Queue { settings: queue.settings(), name: queue.name }
            }
            ExportedPiece::Schedule(schedule) => Piece::Schedule(schedule),
            ExportedPiece::Kind(kind) => Piece::Kind(kind),
            ExportedPiece::Access(record) => Piece::Access(record),
            ExportedPiece::Event(event) => Piece::Event(event),
            ExportedPiece::Job(job) => Piece::Job(job),
            ExportedPiece::End(totals) => Piece::End(totals.into()),
            ExportedPiece::Paused(name) => {
                Piece::Queue { name, settings: QueueSettings { paused: true, ..none } }
            }
            ExportedPiece::Concurrency(name, concurrency) => {
                let concurrency = Some(concurrency);
                Piece::Queue { name, settings: QueueSettings { concurrency, ..none } }
            }
            ExportedPiece::RateLimit(name, rate_limit) => {
                let rate_limit = Some(rate_limit);
                Piece::Queue { name, settings: QueueSettings { rate_limit, ..none } }
            }
        }
    }
}

impl From<ExportedTotals> for Totals {
    fn from(counts: ExportedTotals) -> Totals {
        let ExportedTotals { jobs, events, queues, schedules, kinds, access, .. } = counts;
        let ExportedTotals { paused, concurrency, rate_limits, .. } = counts;
        let older = paused.saturating_add(concurrency).saturating_add(rate_limits);
        Totals { jobs, events, queues: queues.saturating_add(older), schedules, kinds, access }
    }
}

impl Piece {
    /// The piece as one line of JSON, its end included, as exports of format 1 have it. Payloads and results
    /// are strings that hold the JSON text as it was typed, so that no digit of it changes.
    ///
    /// # Errors
    /// The error of the serializer, which does not occur for a piece of a store.
    pub fn to_line(&self) -> Result<Vec<u8>, String> {
        let mut line = serde_json::to_vec(self).map_err(|error| error.to_string())?;
        line.push(b'\n');
        Ok(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{Change, Fact, Json, Kind, Labels, Time};

    fn paused(name: &str) -> String {
        format!("{{\"paused\":\"{name}\"}}")
    }

    #[test]
    fn a_line_is_checked_like_a_submission() {
        assert!(Piece::from_line(paused("mail").as_bytes()).is_ok());
        assert!(Piece::from_line(paused("not a name").as_bytes()).unwrap_err().contains("queue"));
        for bad in ["", "a/b", "%2e%2e", "\u{202e}evil", &"q".repeat(65)] {
            assert!(Piece::from_line(paused(bad).as_bytes()).is_err(), "{bad:?}");
        }
        // An older version may have exported it.
        assert!(Piece::from_line(paused("..").as_bytes()).is_ok());
        for (number, shown) in
            [("0", "0"), ("-1", "-1"), ("1.5", "1.5"), ("1000001", "1000001"), ("{}", "an object")]
        {
            let words = format!("must be an integer from 1 to 1000000, but is {shown}");
            let old = format!(r#"{{"concurrency":["mail",{number}]}}"#);
            let settings =
                format!(r#""name":"mail","paused":false,"concurrency":{number},"rate_limit":null"#);
            let change = format!(r#""change":{{"concurrency_set":{{"concurrency":{number}}}}}"#);
            for line in [
                old,
                format!(r#"{{"queue":{{{settings}}}}}"#),
                format!(
                    r#"{{"event":{{"seq":1,"at":0,"fact":{{"queue":{{"queue":"q",{change}}}}}}}}}"#
                ),
            ] {
                let error = Piece::from_line(line.as_bytes()).unwrap_err();
                assert!(error.contains(&words), "{line}: {error}");
            }
        }
        let head = r#"{"head":{"cortado_export":5,"epoch":1,"at":0,"oldest":0,"head":0}}"#;
        assert!(Piece::from_line(head.as_bytes()).unwrap_err().contains("up to 4"));
        for at in [i64::MIN, i64::MAX, 253_402_207_201_000, -377_705_116_800_001] {
            let event = format!(
                r#"{{"event":{{"seq":1,"at":{at},"fact":{{"queue":{{"queue":"q","change":"paused"}}}}}}}}"#
            );
            assert!(
                Piece::from_line(event.as_bytes()).unwrap_err().contains("is out of range"),
                "{at}"
            );
        }
        let kind = |spec: &str, name: &str| {
            let line = format!(
                r#"{{"kind":{{"name":"{name}","spec":{spec},"origin":"api","set_at":0}}}}"#
            );
            Piece::from_line(line.as_bytes())
        };
        let spec = |more: &str, attempts: u16| {
            format!(
                r#"{{"about":null,"example":null,{more},"defaults":{{"queue":"q","max_attempts":{attempts},"backoff":null,"timeout_ms":null}}}}"#
            )
        };
        assert!(kind(&spec(r#""schema":"{}""#, 1), "resize").is_ok());
        for (spec, name, field) in [
            (spec(r#""schema":"{}""#, 0), "resize", "kind.spec.defaults.max_attempts"),
            (spec(r#""schema":"{\"type\":1}""#, 1), "resize", "kind.spec.schema"),
            (spec(r#""schema":null"#, 1), "a b", "kind.name"),
        ] {
            let why = kind(&spec, name).unwrap_err();
            assert!(why.starts_with(field), "{why}");
        }
        let job = r#"{"event":{"seq":1,"at":0,"fact":{"job":{"id":"00000000-0000-0000-0000-000000000001",
            "labels":{"queue":"q","kind":"k","tags":[]},"state":"completed","attempt":1,
            "change":{"completed":{"result":"{"}}}}}}"#;
        assert!(Piece::from_line(job.as_bytes()).unwrap_err().contains("result"));
    }

    #[test]
    fn an_error_names_the_field_and_no_line_of_its_own() {
        for (line, error) in [
            ("", "it is empty"),
            ("{\"head\":", "it ends before its JSON is complete"),
            ("{x", "it is not valid JSON: see line 1, column 2"),
            (
                r#"{"end":{"jobs":"x","events":1}}"#,
                "end.jobs: must be an integer of at least 0, but is a string",
            ),
        ] {
            let why = Piece::from_line(line.as_bytes()).unwrap_err();
            assert!(why.contains(error) && !why.contains("at line"), "{line}: {why}");
        }
    }

    #[test]
    fn no_object_of_a_line_has_a_member_that_is_not_known() {
        let fixtures = [
            include_str!("../../tests/fixtures/store-v1.jsonl"),
            include_str!("../../tests/fixtures/store-v1-rates.jsonl"),
            include_str!("../../tests/fixtures/store-v2.jsonl"),
        ];
        let mut seen = std::collections::BTreeSet::new();
        for line in fixtures.iter().flat_map(|fixture| fixture.lines()) {
            let line = match line.split_once(",\"crc\":") {
                Some((line, _)) => {
                    format!("{}}}", line.split(",\"export_crc\":").next().unwrap_or_default())
                }
                None => line.to_owned(),
            };
            Piece::from_line(line.as_bytes()).unwrap_or_else(|why| panic!("{line}: {why}"));
            let (mut in_text, mut escaped) = (false, false);
            for (at, byte) in line.bytes().enumerate() {
                match byte {
                    b'"' if !escaped => in_text = !in_text,
                    b'{' if !in_text && line.len() < 2_000 => {
                        let (before, after) = line.split_at(at + 1);
                        let before_name = before.trim_end_matches(['{', ':', '[', ',']);
                        let name = before_name.rsplit('"').nth(1).unwrap_or_default().to_owned();
                        let more = format!("{before}\"strange\":1,{after}");
                        let why = Piece::from_line(more.as_bytes()).expect_err(&more);
                        assert!(why.contains("strange"), "{more}: {why}");
                        seen.insert(name);
                    }
                    _ => {}
                }
                escaped = byte == b'\\' && !escaped;
            }
        }
        for object in ["head", "queue", "schedule", "cron", "labels", "spec", "retry", "backoff"]
            .into_iter()
            .chain(["last", "event", "fact", "change", "job", "status", "history", "end"])
        {
            assert!(seen.contains(object), "{object}: {seen:?}");
        }
    }

    #[test]
    fn json_keeps_every_digit_and_every_line_break() {
        let payload = "{\n \"n\": 12345678901234567890123, \"f\": 1.0}";
        let result = Json::parse(payload).unwrap();
        let fact = Fact::Job {
            id: crate::job::JobId::from_u128(7),
            labels: std::sync::Arc::new(Labels {
                queue: QueueName::default(),
                kind: Kind::parse("echo").unwrap(),
                tags: Box::default(),
            }),
            state: crate::job::State::Completed,
            attempt: 1,
            change: Change::Completed { result },
        };
        let piece =
            Piece::Event(Event { seq: u64::MAX, at: Time::from_millis(-1), by: None, fact });
        let line = piece.to_line().unwrap();
        assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
        assert_eq!(Piece::from_line(&line).unwrap(), piece);
    }

    #[test]
    fn a_line_may_hold_what_an_older_version_stored_and_nothing_deeper_around_it() {
        let nested = |count: usize| format!("{}{}", "[".repeat(count), "]".repeat(count));
        let completed = |result: &str| {
            let result = serde_json::to_string(result).unwrap();
            format!(
                r#"{{"event":{{"seq":1,"at":0,"fact":{{"job":{{"id":"00000000-0000-0000-0000-000000000001",
                "labels":{{"queue":"q","kind":"k","tags":[]}},"state":"completed","attempt":1,
                "change":{{"completed":{{"result":{result}}}}}}}}}}}}}"#
            )
        };
        let wide = format!("[{}0]", "0,".repeat(100_000));
        for old in [nested(200_000), wide] {
            let piece = Piece::from_line(completed(&old).as_bytes()).unwrap();
            assert_eq!(Piece::from_line(&piece.to_line().unwrap()).unwrap(), piece);
        }
        let deep = format!("{{\"paused\":{}}}", nested(200_000));
        assert!(Piece::from_line(deep.as_bytes()).unwrap_err().contains("json_too_deep"));
        let long = format!("{{\"{}\":1}}", "x".repeat(1_000_000));
        assert!(Piece::from_line(long.as_bytes()).unwrap_err().len() < 1_000);
    }
}
